import { render } from 'preact'
import { Console } from './app.tsx'

const root = document.getElementById('root')
if (root !== null) render(<Console />, root)

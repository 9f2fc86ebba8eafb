import { useState } from 'preact/hooks'
import { useAnnounce } from '../client.ts'
import { Dialog } from './dialog.tsx'

/** A dialog that tells something once. */
export function Told(props: {
  readonly title: string
  readonly note: string
  readonly text: string
  readonly onClose: () => void
}) {
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <p>{props.note}</p>
      <Secret text={props.text} />
      <div class="buttons">
        <button type="button" class="primary" onClick={props.onClose}>
          Done
        </button>
      </div>
    </Dialog>
  )
}

/** What is told once, to be copied. */
function Secret({ text }: { readonly text: string }) {
  const [isCopied, setCopied] = useState(false)
  const announce = useAnnounce()
  const copy = async () => {
    await navigator.clipboard.writeText(text)
    setCopied(true)
    announce('Copied')
  }
  return (
    <div class="secret">
      <code>{text}</code>
      {/* Without TLS, browsers have no clipboard for a page that is not on this machine. */}
      {navigator.clipboard === undefined ? null : (
        <button type="button" class="plain" onClick={() => void copy()}>
          {isCopied ? 'Copied' : 'Copy'}
        </button>
      )}
    </div>
  )
}

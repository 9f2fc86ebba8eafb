import { useState } from 'preact/hooks'
import { useAnnounce } from '../client.ts'

/** What is told once, to be copied. */
export function Secret({ text }: { readonly text: string }) {
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

import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Problem } from './page.tsx'

/** Asks before something is done. The browser keeps the focus within, closes it with Escape and gives the focus back. */
export function Dialog(props: {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
}) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} aria-label={props.title} onClose={props.onClose}>
      <h2>{props.title}</h2>
      {props.children}
    </dialog>
  )
}

/** The same with a form: cancelled, it closes, and whoever has done the deed closes it. */
export function DeedDialog({
  title,
  onClose,
  before,
  ...deed
}: Omit<Parameters<typeof DeedForm>[0], 'onCancel'> & {
  readonly title: string
  readonly onClose: () => void
  readonly before?: string
}) {
  return (
    <Dialog title={title} onClose={onClose}>
      {before === undefined ? null : <p>{before}</p>}
      <DeedForm onCancel={onClose} {...deed} />
    </Dialog>
  )
}

/** A form whose deed may be refused: the refusal stands in it, in the registry's words. */
export function DeedForm(props: {
  readonly label: string
  readonly isDangerous?: boolean
  readonly onCancel?: () => void
  readonly deed: (fields: FormData) => Promise<unknown>
  readonly children?: ComponentChildren
}) {
  const [problem, setProblem] = useState<string>()
  const [isBusy, setBusy] = useState(false)
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    setBusy(true)
    setProblem(undefined)
    props
      .deed(new FormData(event.currentTarget as HTMLFormElement))
      .catch((error: Error) => setProblem(error.message))
      .finally(() => setBusy(false))
  }
  return (
    <form onSubmit={submit} class="deed">
      {props.children}
      {problem === undefined ? null : <Problem>{problem}</Problem>}
      <div class="buttons">
        {props.onCancel === undefined ? null : (
          <button type="button" class="plain" onClick={props.onCancel}>
            Cancel
          </button>
        )}
        <button type="submit" class={props.isDangerous === true ? 'danger' : 'primary'} disabled={isBusy}>
          {props.label}
        </button>
      </div>
    </form>
  )
}

export function Field(props: {
  readonly label: string
  readonly note?: string
  readonly children: ComponentChildren
}) {
  return (
    <label class="field">
      <span class="field-label">{props.label}</span>
      {props.children}
      {props.note === undefined ? null : <span class="note">{props.note}</span>}
    </label>
  )
}

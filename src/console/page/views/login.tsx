import { useClient } from '../client.ts'
import { DeedForm, Field } from '../parts/dialog.tsx'
import { Logo } from '../parts/frame.tsx'
import { go } from '../router.tsx'

export function LoginView(props: { readonly onIn: () => void }) {
  const client = useClient()
  return (
    <main class="login" id="content">
      <div class="login-card">
        <Logo />
        <h1>Log in to the registry</h1>
        <DeedForm
          label="Log in"
          deed={async (fields) => {
            await client.login(String(fields.get('key')))
            go(location.pathname + location.search, { instead: true })
            props.onIn()
          }}
        >
          <Field label="API key" note="The first one lies in admin.key in the registry’s folder.">
            <input name="key" type="password" required autoComplete="current-password" spellcheck={false} />
          </Field>
        </DeedForm>
      </div>
    </main>
  )
}

import type { Session, Signature } from '../../runtime/backend.ts'
import type { SequenceModel } from './plan.ts'

/** What clients see and send: states and controls are between us and the model. */
export function visibleSignature(signature: Signature, { controls, states }: SequenceModel): Signature {
  const inputs = new Set([...controls.map(({ name }) => name), ...states.map(({ input }) => input)])
  const outputs = new Set(states.filter(({ isShown }) => !isShown).map(({ output }) => output))
  return {
    ...signature,
    inputs: signature.inputs.filter(({ name }) => !inputs.has(name)),
    outputs: signature.outputs.filter(({ name }) => !outputs.has(name)),
  }
}

/** The session as everybody but the one who keeps the states sees it. */
export function visibleSession(session: Session, model: SequenceModel): Session {
  return {
    signature: visibleSignature(session.signature, model),
    metadata: session.metadata,
    get providers() {
      return session.providers
    },
    get refusals() {
      return session.refusals
    },
    get placement() {
      return session.placement
    },
    get faults() {
      return session.faults
    },
    runsMax: session.runsMax,
    run: (request) => session.run(request),
    get arenaBytes() {
      return session.arenaBytes
    },
    runInline: (request) => session.runInline(request),
    close: () => session.close(),
  }
}

import { type Check, checksOf } from './check.ts'
import type { ServedFacts, ServerFacts } from './served.ts'

const { ok, note, warning, fault } = checksOf('models')

export function judgeServer({ served, where, problem, isExpected, isLoading }: ServerFacts): Check[] {
  if (served === undefined) {
    const text = `nobody serves at ${where}${problem === '' ? '' : `: ${problem}`}`
    if (isLoading && !isExpected) return []
    if (!isExpected)
      return [
        note('not_served', text, {
          fix: 'start it with "limpet up"; "limpet doctor --models DIR" loads the models for a look',
        }),
      ]
    return [
      fault('not_served', text, {
        fix: 'the agent runs and the server does not: "limpet status", and the log of "serve"',
      }),
    ]
  }
  if (served.length === 0) return [note('none', `the server at ${where} has no model`)]
  return served.flatMap(judgeOne)
}

function judgeOne(facts: ServedFacts): Check[] {
  const { model, version, state, reason } = facts
  const name = version === '' ? model : `${model} ${version}`
  const of = { model, version, state }
  if (state === 'LOADING')
    return [note('loading', `${name} is being loaded${reason === '' ? '' : `: ${reason}`}`, { facts: of })]
  if (state !== 'READY') return [judgeAbsent(name, facts)]
  return [
    ok('serves', `${name} serves: ${describeServed(facts)}`, {
      facts: {
        ...of,
        memory_bytes: facts.memoryBytes ?? null,
        providers: facts.providers,
        refused: facts.refused,
        nodes: facts.nodes,
        requests: facts.requests,
        errors: facts.errors,
        mean_ms: facts.meanMs ?? null,
        p95_ms_max: facts.p95Ms ?? null,
        pending: facts.pending,
      },
    }),
    ...(facts.refused.length === 0 ? [] : [note('refused', `${name}: ${reason}`, { facts: of })]),
    ...judgeErrors(name, facts),
  ]
}

/** What nobody needs, or went for another model's sake, is no fault. */
function judgeAbsent(name: string, { model, version, state, reason }: ServedFacts): Check {
  const facts = { model, version, state }
  const isMeant = reason === '' || /^(unloaded|evicted|.*on demand)/.test(reason)
  const text = `${name} does not serve (${state})${reason === '' ? '' : `: ${reason}`}`
  return (isMeant ? note : fault)('not_ready', text, { facts })
}

const ERRORS_WARNING = 0.05

function judgeErrors(name: string, { requests, errors, notFinite }: ServedFacts): Check[] {
  const share = errors / Math.max(1, requests + errors)
  return [
    ...(share < ERRORS_WARNING
      ? []
      : [
          warning('errors', `${name}: ${errors} of ${requests + errors} requests have failed in the model`, {
            fix: 'the log of "serve" names each error',
            facts: { requests, errors },
          }),
        ]),
    ...(notFinite === 0
      ? []
      : [
          warning('not_finite', `${name}: ${notFinite} answers had NaN or infinity in them`, {
            facts: { not_finite: notFinite },
          }),
        ]),
  ]
}

function describeServed({
  memoryBytes,
  providers,
  nodes,
  requests,
  errors,
  meanMs,
  p95Ms,
  pending,
}: ServedFacts): string {
  const placed = providers.map((provider) =>
    nodes[provider] === undefined ? provider : `${provider} (${countNodes(nodes[provider] ?? 0)})`,
  )
  return [
    `on ${placed.join(', ')}`,
    ...(memoryBytes === undefined ? [] : [`${(memoryBytes / 1e6).toFixed(1)} MB`]),
    requests === 0
      ? 'not asked yet'
      : `${requests} requests, ${meanMs?.toFixed(1)} ms on average${p95Ms === undefined ? '' : `, 95 % within ${p95Ms} ms`}`,
    ...(errors === 0 ? [] : [`${errors} errors`]),
    ...(pending === 0 ? [] : [`${pending} waiting`]),
  ].join(', ')
}

function countNodes(count: number): string {
  return `${count} ${count === 1 ? 'node' : 'nodes'}`
}

import type { PlacedNodes } from './backend.ts'
import { type Address, Memory, pointerAt, stringAt } from './memory.ts'
import type { Ort } from './ort.ts'

/** The API that tells which provider has which node: ONNX Runtime 1.24. */
export const PLACEMENT_SINCE = 24

/** Without it a session keeps no record of it. */
export const PLACEMENT_ENTRY = 'session.record_ep_graph_assignment_info'

/** Kinds of operators that are named of each provider; a model has a few dozen at the most. */
const OPERATORS_MAX = 12

/**
 * How many of a model's nodes each provider has, those without any included, in the order of `providers`. It is what was
 * decided after the basic optimisations: nodes that a provider makes one of afterwards still count each. Undefined where
 * the library cannot say, or was told by the model's settings not to.
 */
export function readPlacement(
  ort: Ort,
  session: Address,
  providers: readonly string[],
): readonly PlacedNodes[] | undefined {
  if (ort.apiVersion < PLACEMENT_SINCE) return undefined
  const subgraphs = new Memory(16)
  const { functions } = ort
  const status = functions.Session_GetEpGraphAssignmentInfo(session, subgraphs.address, subgraphs.address + 8)
  if (status !== null && status !== 0) {
    functions.ReleaseStatus(status)
    return undefined
  }
  const placed = new Map(providers.map((provider) => [provider, new Map<string, number>()]))
  for (const subgraph of pointersAt(subgraphs)) {
    const provider = text(ort, functions.EpAssignedSubgraph_GetEpName, subgraph)
    const operators = placed.get(provider) ?? new Map<string, number>()
    placed.set(provider, operators)
    const nodes = new Memory(16)
    ort.check(functions.EpAssignedSubgraph_GetNodes(subgraph, nodes.address, nodes.address + 8))
    for (const node of pointersAt(nodes)) {
      const operator = text(ort, functions.EpAssignedNode_GetOperatorType, node)
      operators.set(operator, (operators.get(operator) ?? 0) + 1)
    }
  }
  return [...placed].map(([provider, operators]) => summarise(provider, operators))
}

function summarise(provider: string, operators: ReadonlyMap<string, number>): PlacedNodes {
  const nodes = [...operators.values()].reduce((sum, count) => sum + count, 0)
  const most = [...operators].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, OPERATORS_MAX)
  return { provider, nodes, operators: most.map(([operator]) => operator) }
}

/** The array that a function has written down as its address and its length; it belongs to the session. */
function pointersAt(out: Memory): Address[] {
  const array = out.word(0)
  return Array.from({ length: out.word(1) }, (_, index) => pointerAt(array, index * 8))
}

function text(ort: Ort, read: (...args: number[]) => number | null, of: Address): string {
  return stringAt(ort.out((out) => read(of, out)))
}

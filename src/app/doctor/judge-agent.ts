import { isWorking, type State } from '../../ota/machine.ts'
import type { Status } from '../agent/status.ts'
import type { AgentFacts, Quarantined } from './agent.ts'
import { type Check, checksOf } from './check.ts'

const { ok, note, warning, fault } = checksOf('agent')

const SILENT = warning(
  'silent',
  'an agent runs, and does not answer, or not in words that are understood here',
  {
    fix: 'look as the user that it runs as; it is of another version when the binary was changed: restart it',
  },
)

export function judgeAgent(facts: AgentFacts): Check[] {
  if (facts.kind === 'none') return []
  if (facts.kind === 'silent') return [SILENT]
  if (facts.kind === 'running') return judgeStatus(facts.status)
  const stopped = warning('stopped', 'no agent runs: what is assigned is not brought, and nothing is told', {
    fix: 'start it with "limpet up", or "systemctl start limpet"',
  })
  const { journal } = facts
  if ('problem' in journal)
    return [
      stopped,
      fault('journal', `what it remembers cannot be read: ${journal.problem}`, {
        fix: 'nothing: the next start puts a damaged database aside and begins anew',
      }),
    ]
  const unseen =
    journal.unseenBytes === 0 ? '' : `; the last ${journal.unseenBytes} bytes of its log are not looked at`
  return [
    stopped,
    note('left', `it was at assignment ${journal.rev}${unseen}`, { facts: { rev: journal.rev } }),
    ...journal.working.map(({ model, version, state }) =>
      note('update', `${model} ${version} was on its way: ${state}`, { facts: { model, version, state } }),
    ),
    ...journal.quarantined.map(judgeQuarantined),
  ]
}

function judgeStatus(status: Status): Check[] {
  const { device, rev, link, models, alerts, quarantine, sources_skipped } = status
  return [
    ok('runs', `"${device}" is at assignment ${rev}, its line is ${link}`, {
      facts: { device, rev, link, models: models.length },
    }),
    ...models.flatMap(judgeModel),
    ...quarantine.map(judgeQuarantined),
    ...alerts.map(({ severity, message, since, name, value, limit }) =>
      (severity === 'critical' ? fault : warning)('alert', `${message}, since ${since}`, {
        facts: { name, value, limit },
      }),
    ),
    ...sources_skipped.map(({ source, skipped, reason }) =>
      note('unmeasured', `${source} is not measured, ${skipped} times: ${reason}`, { facts: { source } }),
    ),
  ]
}

function judgeModel({ model, running, assigned, update }: Status['models'][number]): Check[] {
  const facts = {
    model,
    running: running?.version ?? null,
    assigned: assigned?.version ?? null,
    update: update?.state ?? null,
  }
  if (update !== null && update.state === 'stuck') {
    const fix = `"limpet status" says where; then "limpet retry ${model}"`
    return [
      fault('stuck', `${model} ${update.version} is stuck: ${update.code}: ${update.reason}`, { fix, facts }),
    ]
  }
  if (update !== null && isWorking(update.state as State)) {
    const percent = update.percent === null ? '' : ` ${update.percent} %`
    const waits = update.waits_for === '' ? '' : `, waits for: ${update.waits_for}`
    return [
      note(
        'update',
        `${model} ${update.version} is on its way: ${update.state}${percent}${waits}, since ${update.since}`,
        { facts },
      ),
    ]
  }
  if (assigned !== null && running?.sha256 !== assigned.sha256) {
    const why = update === null || update.code === '' ? '' : `: ${update.code}: ${update.reason}`
    return [
      warning(
        'behind',
        `${model} is assigned ${assigned.version} and serves ${running?.version ?? 'nothing'}${why}`,
        { fix: `limpet retry ${model}`, facts },
      ),
    ]
  }
  return [ok('model', `${model} serves ${running?.version ?? 'nothing'}, as assigned`, { facts })]
}

function judgeQuarantined({ model, version, code, reason }: Quarantined): Check {
  const fix = `assign a version that is mended; "limpet retry ${model}" tries this one again`
  return warning('quarantine', `${model} ${version} is not tried again: ${code}: ${reason}`, {
    fix,
    facts: { model, version, code },
  })
}

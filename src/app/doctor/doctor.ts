import { loadConfig } from '../../config/config.ts'
import { readEnvironment } from '../../config/environment.ts'
import { RootFiles } from '../../health/files.ts'
import { systemClock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/errors.ts'
import { setLogLevel } from '../../kit/log.ts'
import { type Enrolment, readEnrolment } from '../agent/enrolment.ts'
import { deviceFolders } from '../agent/folders.ts'
import { EXIT } from '../exit-codes.ts'
import { lookAtAgent } from './agent.ts'
import { judgeBroker, lookAtBroker } from './broker.ts'
import { writeBundle } from './bundle.ts'
import { judgeCapture, lookAtCapture } from './capture.ts'
import { lookAtCentral } from './central.ts'
import { lookAtCertificates } from './certificates.ts'
import { type Check, checksOf } from './check.ts'
import { judgeClock, lookAtClock } from './clock.ts'
import { judgeConfig, lookAtConfig } from './config.ts'
import { type Context, type DoctorOptions, withAnswers } from './context.ts'
import { judgeEngines, lookAtEngines } from './engines.ts'
import { lookIsolated } from './isolate.ts'
import { judgeAgent } from './judge-agent.ts'
import { judgeCentral } from './judge-central.ts'
import { judgeCertificates } from './judge-certificates.ts'
import { judgeRegistry } from './judge-registry.ts'
import { judgeServer } from './judge-served.ts'
import { judgeStorage } from './judge-storage.ts'
import { lookByLoading } from './loading.ts'
import { type Look, look, runLooks } from './look.ts'
import { judgeMachine, lookAtMachine } from './machine.ts'
import { judgeNetwork, lookAtNetwork } from './network.ts'
import { describeReport } from './print.ts'
import { judgeProfile, lookAtProfile } from './profile.ts'
import { lookAtRegistry } from './registry.ts'
import { makeReport, type Report, reportJson } from './report.ts'
import { lookAtServer } from './served.ts'
import { judgeService, lookAtService } from './service.ts'
import { lookAtStorage } from './storage.ts'
import { judgeTrust, lookAtTrust } from './trust.ts'

/** Everything that is looked at but what has to be loaded for it. They begin at once, and are told in the order of TOPICS. */
const LOOKS: readonly Look[] = [
  look('profile', lookAtProfile, judgeProfile),
  look('engines', lookAtEngines, judgeEngines),
  look('models', lookAtServer, judgeServer),
  look('service', lookAtService, judgeService),
  look('storage', lookAtStorage, judgeStorage),
  look('clock', lookAtClock, judgeClock),
  look('network', lookAtNetwork, judgeNetwork),
  look('registry', lookAtRegistry, judgeRegistry),
  look('broker', lookAtBroker, judgeBroker),
  look('certificates', lookAtCertificates, judgeCertificates),
  look('trust', lookAtTrust, judgeTrust),
  look('agent', lookAtAgent, judgeAgent),
  look('capture', lookAtCapture, judgeCapture),
  look('central', lookAtCentral, judgeCentral),
]

/** Looks at everything that serving needs, goes on after what is broken, and changes nothing. */
async function examine(options: DoctorOptions): Promise<Report> {
  // The checks say it all, in one place.
  setLogLevel('silent')
  const [timeMs, began] = [systemClock.now(), systemClock.elapsed()]
  const machine = judgeMachine(await lookAtMachine())
  const rest = await examineConfigured(options)
  return makeReport([...machine, ...rest], { timeMs, tookMs: systemClock.elapsed() - began })
}

async function examineConfigured(options: DoctorOptions): Promise<readonly Check[]> {
  const environment = readEnvironment()
  const path = options.config ?? environment.config
  const config = await orProblem(loadConfig(path))
  if (typeof config === 'string') {
    // Without the settings nobody can say what is to be looked at.
    return [checksOf('config').fault('refused', config, { facts: { path: path ?? null } })]
  }
  const state = options.state ?? environment.state
  const context = withAnswers({
    options,
    environment,
    config,
    state,
    folders: deviceFolders(state, config),
    ...withEnrolment(await orProblem(readEnrolment(state))),
    files: new RootFiles(config.health.root),
    clock: systemClock,
    signal: new AbortController().signal,
  })
  const [looked, loaded] = await Promise.all([runLooks(LOOKS, context), lookIsolated(options)])
  return [...judgeConfig(await lookAtConfig(path)), ...looked, ...loaded]
}

function withEnrolment(
  read: Enrolment | string | undefined,
): Pick<Context, 'enrolment' | 'enrolmentProblem'> {
  return typeof read === 'string'
    ? { enrolment: undefined, enrolmentProblem: read }
    : { enrolment: read, enrolmentProblem: '' }
}

async function orProblem<T>(read: Promise<T>): Promise<T | string> {
  return await read.catch((error: unknown) => messageOf(error))
}

export interface DoctorCommand extends DoctorOptions {
  readonly json: boolean
  /** Where to write what helps somebody far away. */
  readonly bundle: string | undefined
  /** What this very process is: the part that loads. */
  readonly byLoading: boolean
}

/** `limpet doctor`. Gives the exit code. */
export async function runDoctor(command: DoctorCommand, print: (line: string) => void): Promise<number> {
  if (command.byLoading) {
    await lookByLoading(command, (checks) => checks.forEach((check) => void print(JSON.stringify(check))))
    return EXIT.ok
  }
  const report = await examine(command)
  if (command.json) print(JSON.stringify(reportJson(report), undefined, 2))
  else for (const line of describeReport(report, terminalWidth())) print(line)
  if (command.bundle !== undefined) {
    const written = await writeBundle(command.bundle, report, command)
    if (!command.json) print(written)
  }
  return report.healthy ? EXIT.ok : EXIT.failed
}

/** Undefined: somebody else reads it, and a line is a line. */
function terminalWidth(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined
}

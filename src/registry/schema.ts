import { EdgeError } from '../kit/errors.ts'
import {
  FAMILY_SEEN,
  METADATA_SEEN,
  ROLLOUT_FAILURES,
  ROLLOUT_TABLES,
  ROLLOUT_UNSIGNED,
} from './rollout-schema.ts'
import { ALERT_RAISED, TELEMETRY_TABLES } from './telemetry-schema.ts'

/** What the registry knows, as SQL. Each entry brings the schema one step on; entries are added, never changed. */
const STEPS: readonly string[] = [
  `
  CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    secret_sha256 BLOB NOT NULL,
    created INTEGER NOT NULL,
    revoked INTEGER
  ) STRICT;

  CREATE TABLE enrolment_token (
    id TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL,
    -- Bound to one device, which it may enrol again; without one it makes a new device.
    device TEXT,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER
  ) STRICT;

  CREATE TABLE device (
    id TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL,
    hardware TEXT NOT NULL,
    enrolled INTEGER NOT NULL,
    seen INTEGER,
    online INTEGER NOT NULL DEFAULT 0,
    -- The session that reported last, and what it reported.
    sid TEXT,
    state TEXT,
    state_seq INTEGER NOT NULL DEFAULT -1
  ) STRICT;

  -- A device-originated fact, once, however often it was sent.
  CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT NOT NULL REFERENCES device (id),
    sid TEXT NOT NULL,
    seq INTEGER NOT NULL,
    received INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (device, sid, seq)
  ) STRICT;

  CREATE TABLE pack (
    sha256 TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    created INTEGER NOT NULL
  ) STRICT;

  -- Where the stored form of a chunk lies; the first pack that brought it counts.
  CREATE TABLE chunk (
    sha256 TEXT PRIMARY KEY,
    pack TEXT NOT NULL REFERENCES pack (sha256),
    offset INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    encoding TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- What an operator wants: for one device, or for 'all' that have no assignment of their own.
  CREATE TABLE assignment (
    target TEXT PRIMARY KEY,
    models TEXT NOT NULL,
    written INTEGER NOT NULL
  ) STRICT;

  -- What was signed for a device last. Its rev never goes back.
  CREATE TABLE issued (
    device TEXT PRIMARY KEY REFERENCES device (id),
    rev INTEGER NOT NULL,
    models TEXT NOT NULL,
    envelope BLOB NOT NULL,
    sha256 TEXT NOT NULL
  ) STRICT;
  `,
  // A device's secret as Mosquitto keeps it: it cannot be made from our hash.
  'ALTER TABLE device ADD COLUMN mosquitto TEXT',
  `
  CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    -- As they were then: a key may have gone since.
    key_id TEXT NOT NULL,
    key_name TEXT NOT NULL,
    key_role TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    address TEXT NOT NULL,
    outcome TEXT NOT NULL
  ) STRICT;
  CREATE INDEX audit_subject ON audit (subject, number);
  `,
  `
  CREATE TABLE session (
    id TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL,
    key_id TEXT NOT NULL REFERENCES api_key (id),
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX session_key ON session (key_id, created);
  `,
  ROLLOUT_TABLES,
  `
  CREATE TABLE command (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    device TEXT NOT NULL,
    body TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    -- queued, sent, done, failed, expired
    state TEXT NOT NULL,
    sent INTEGER,
    ended INTEGER,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    result TEXT NOT NULL
  ) STRICT;
  CREATE INDEX command_device ON command (device, number);
  CREATE INDEX command_open ON command (expires) WHERE state IN ('queued', 'sent');
  `,
  TELEMETRY_TABLES,
  ROLLOUT_FAILURES,
  // Who has used a token, so that the answer to it may be given again: to the same one, who may not have got it.
  `
  ALTER TABLE enrolment_token ADD COLUMN claim_sha256 BLOB;
  ALTER TABLE enrolment_token ADD COLUMN enrolled TEXT;
  `,
  ROLLOUT_UNSIGNED,
  METADATA_SEEN,
  FAMILY_SEEN,
  ALERT_RAISED,
]

/** As far as this module needs one. */
interface Migratable {
  pragma(text: string): unknown
  exec(sql: string): unknown
}

/** Brings the database to this program's schema, within the caller's transaction. A newer one is refused. */
export function migrate(database: Migratable): void {
  const version = Number(database.pragma('user_version'))
  if (version > STEPS.length) {
    throw new EdgeError(
      'storage_failed',
      `Cannot use the registry's database: its schema is version ${version}, this program knows ${STEPS.length}; run the newer program`,
    )
  }
  for (const step of STEPS.slice(version)) database.exec(step)
  database.exec(`PRAGMA user_version = ${STEPS.length}`)
}

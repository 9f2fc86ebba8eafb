/** What devices have measured, and complain of. */
export const TELEMETRY_TABLES = `
  -- What a device has measured: tier 0 as it came, tier 1 in steps of ten minutes. Settled: it is in tier 1 as well.
  CREATE TABLE telemetry (
    number INTEGER PRIMARY KEY,
    device TEXT NOT NULL REFERENCES device (id),
    tier INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL,
    is_settled INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE INDEX telemetry_device ON telemetry (device, tier, from_ms);
  CREATE INDEX telemetry_age ON telemetry (tier, from_ms, bytes);
  CREATE INDEX telemetry_unsettled ON telemetry (to_ms) WHERE is_settled = 0;

  -- The last that is known of each device's count.
  CREATE TABLE telemetry_mark (
    device TEXT NOT NULL REFERENCES device (id),
    sid TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (device, sid)
  ) STRICT, WITHOUT ROWID;

  -- The last word of a device on each thing that it complains of.
  CREATE TABLE alert (
    device TEXT NOT NULL REFERENCES device (id),
    name TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity TEXT NOT NULL,
    since INTEGER NOT NULL,
    value REAL NOT NULL,
    "limit" REAL NOT NULL,
    message TEXT NOT NULL,
    cleared INTEGER,
    PRIMARY KEY (device, name, subject)
  ) STRICT;
  CREATE INDEX alert_active ON alert (severity, since) WHERE cleared IS NULL;
`

/** When an alert was raised by the registry's clock, which decides about rollouts. */
export const ALERT_RAISED = `
  ALTER TABLE alert ADD COLUMN raised INTEGER NOT NULL DEFAULT 0;
  UPDATE alert SET raised = since;
`

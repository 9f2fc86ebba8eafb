/** Rollouts, and what they ask of devices: steps of the registry's schema. */
export const ROLLOUT_TABLES = `
  ALTER TABLE device ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE device ADD COLUMN hardware_class TEXT NOT NULL DEFAULT 'unknown';
  -- Of its last report: the rev that it has taken, and the newest metadata that it has seen.
  ALTER TABLE device ADD COLUMN rev INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE device ADD COLUMN timestamp_version INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE device ADD COLUMN snapshot_version INTEGER NOT NULL DEFAULT 0;
  -- Something that a selector may ask for has changed, and no rollout has looked yet.
  ALTER TABLE device ADD COLUMN is_changed INTEGER NOT NULL DEFAULT 1;
  -- Words up to this one may have been followed by others that were lost: they allow no downgrade any more.
  ALTER TABLE device ADD COLUMN lost_word INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX device_changed ON device (id) WHERE is_changed = 1;
  CREATE INDEX device_offline ON device (id) WHERE online = 0;

  -- Of its last report, for each of its models.
  CREATE TABLE device_model (
    device TEXT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    running TEXT,
    running_version TEXT,
    running_release INTEGER,
    update_rev INTEGER,
    update_version TEXT,
    update_state TEXT,
    update_code TEXT,
    update_reason TEXT,
    PRIMARY KEY (device, model)
  ) STRICT, WITHOUT ROWID;

  -- Whatever decides what a device should run is a word, and of two the later one counts.
  CREATE TABLE word (number INTEGER PRIMARY KEY AUTOINCREMENT, said INTEGER NOT NULL) STRICT;

  -- Since which word an assignment has said what it says of a model.
  CREATE TABLE assignment_word (
    target TEXT NOT NULL,
    model TEXT NOT NULL,
    word INTEGER NOT NULL,
    PRIMARY KEY (target, model)
  ) STRICT, WITHOUT ROWID;

  INSERT INTO assignment_word SELECT target, json_extract(value, '$.model'), 0 FROM assignment, json_each(assignment.models);

  CREATE TABLE rollout (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    -- What was asked for, complete, with the manifest and the release of the version.
    plan TEXT NOT NULL,
    state TEXT NOT NULL,
    wave INTEGER NOT NULL DEFAULT 0,
    since INTEGER NOT NULL,
    -- Where a pause goes on.
    paused_in TEXT,
    -- Waves up to this one are accepted by a person, whatever their figures.
    accepted_wave INTEGER NOT NULL DEFAULT -1,
    created INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    approved_by TEXT,
    -- Said at its start; the later one when it was aborted or reverted.
    word INTEGER,
    last_word INTEGER
  ) STRICT;
  CREATE INDEX rollout_model ON rollout (model, word);

  CREATE TABLE rollout_device (
    rollout TEXT NOT NULL REFERENCES rollout (id),
    device TEXT NOT NULL,
    wave INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    state TEXT NOT NULL,
    -- What it gives the device: 'nothing', the 'version', or the way 'back'.
    gives TEXT NOT NULL DEFAULT 'nothing',
    -- Milliseconds: given to the device, first seen serving it, last seen getting on, and with which step.
    given INTEGER,
    activated INTEGER,
    progressed INTEGER,
    step TEXT NOT NULL DEFAULT '',
    -- The rev that gave it.
    rev INTEGER,
    code TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    -- What ran before, as it would be assigned.
    ran TEXT,
    PRIMARY KEY (rollout, device)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX rollout_device_state ON rollout_device (rollout, state, wave, bucket, device, step);
  CREATE INDEX rollout_device_given ON rollout_device (rollout, given);
  CREATE INDEX rollout_device_device ON rollout_device (device, rollout);

  CREATE TABLE rollout_transition (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    rollout TEXT NOT NULL REFERENCES rollout (id),
    at INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    wave INTEGER NOT NULL,
    -- The key of whoever asked for it; null: the registry itself.
    by TEXT,
    reason TEXT NOT NULL
  ) STRICT;
  CREATE INDEX rollout_transition_rollout ON rollout_transition (rollout, number);
  `

/** How a device has failed, whatever became of it afterwards. */
export const ROLLOUT_FAILURES = `
  ALTER TABLE rollout_device ADD COLUMN failure TEXT NOT NULL DEFAULT '';
  ALTER TABLE rollout_device ADD COLUMN failure_code TEXT NOT NULL DEFAULT '';
  ALTER TABLE rollout_device ADD COLUMN failure_reason TEXT NOT NULL DEFAULT '';
`

/** Those whose way back has not been signed yet, without a look at all the others. */
export const ROLLOUT_UNSIGNED = `
  CREATE INDEX rollout_device_unsigned ON rollout_device (rollout) WHERE gives = 'back' AND rev IS NULL;
`

/** The highest that any device has seen, without a look at each. */
export const METADATA_SEEN = `
  CREATE INDEX device_timestamp_version ON device (timestamp_version);
  CREATE INDEX device_snapshot_version ON device (snapshot_version);
`

/** Versions of families' metadata that devices have seen, by their last report. */
export const FAMILY_SEEN = `
  CREATE TABLE family_seen (
    device TEXT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    family TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (device, family)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX family_seen_version ON family_seen (family, version);
`

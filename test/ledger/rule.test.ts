import t from 'tap';
import {
  counts,
  decidingSeconds,
  dtypeAt,
  type EvidenceKind,
  evidenceTimes,
  isInTime,
  LEDGER_DOWN_DTYPE,
  RESTORE_EVIDENCE,
  UNKNOWN_RESTORE_DTYPE,
  UNKNOWN_SUBJECT_DTYPE,
  UPDATE_DTYPE,
} from '../../src/ledger/rule.ts';

/** Setting, evidence, whether it counts: docs/http-api.md, `POST /installs`, as a table. */
const evidences: [EvidenceKind, EvidenceKind, boolean][] = [
  ['confirm', 'confirm', true],
  ['confirm', 'tap', false],
  ['confirm', 'issue', false],
  ['tap', 'confirm', true],
  ['tap', 'tap', true],
  ['tap', 'issue', false],
  ['issue', 'confirm', true],
  ['issue', 'tap', true],
  ['issue', 'issue', true],
];

for (const [setting, evidence, expected] of evidences)
  t.equal(counts(evidence, setting), expected, `${evidence} under WEBDIST_INSTALL_EVIDENCE=${setting}`);

/** Token issued at, evidence at, lifetime at that time, dtype. */
const times: [number, number | undefined, number, string][] = [
  [1000, undefined, 1200, 'download'],
  [1_000_000_000, undefined, 60, 'download'],
  [1000, 1000, 1200, 'download'],
  [2199, 1000, 1200, 'download'],
  [2200, 1000, 1200, 'redownload'],
  [2201, 1000, 1200, 'redownload'],
  [1059, 1000, 60, 'download'],
  [1060, 1000, 60, 'redownload'],
  // A replica whose clock is behind that of the replica that recorded the evidence.
  [900, 1000, 1200, 'download'],
];

for (const [now, evidence, lifetime, expected] of times) {
  const install = evidence === undefined ? undefined : evidenceTimes(evidence, lifetime);
  t.equal(dtypeAt(now, install), expected, `at ${now}, evidence at ${evidence}, lifetime ${lifetime}`);
}

/** This machine's clock, that of the ledger's server, the time that decides. */
const clocks: [number, number | undefined, number][] = [
  [1000, undefined, 1000],
  [1000, 1000, 1000],
  [1000, 990, 990],
  [1000, 1010, 1010],
  [1000, 940, 940],
  [1000, 1060.5, 1000],
  [1000, 939, 1000],
  [1000, 1000 + 86_400, 1000],
  [1000, 0, 1000],
];

for (const [own, ledger, expected] of clocks)
  t.equal(decidingSeconds(own, ledger), expected, `the clocks show ${own} here and ${ledger} at the ledger`);

/** The minute of issue, the second of the evidence, and whether it counts: for 24 hours, to the minute. */
const inTime: [number, number, boolean][] = [
  [6000, 6000, true],
  [6000, 6059, true],
  // Issued in the last second of the minute, 24 hours ago.
  [6000, 6059 + 86_400, true],
  [6000, 6060 + 86_400, false],
  // Issued by a replica whose clock is ahead.
  [6000, 5400, true],
];

for (const [issuedAt, now, expected] of inTime)
  t.equal(isInTime(issuedAt, now), expected, `issued at ${issuedAt}, evidence at ${now}`);

/** The second of the evidence, since when the device has had the app, the date of the install. */
const evidenceDates: [number, number | undefined, number][] = [
  [2000, undefined, 2000],
  [2000, 1000, 1000],
  [2000, 1999, 1999],
  [2000, 2000, 2000],
  // Recorded by a replica whose clock is ahead.
  [2000, 2010, 2000],
  [2000, 0, 0],
];

for (const [now, device, expected] of evidenceDates) {
  const known = device === undefined ? undefined : evidenceTimes(device, 60);
  const what = `evidence at ${now}, on a device that has had the app since ${device}`;
  const redownloadAtSeconds = Math.min(now + 1200, device === undefined ? Number.POSITIVE_INFINITY : device + 60);
  t.strictSame(evidenceTimes(now, 1200, known), { installedAtSeconds: expected, redownloadAtSeconds }, what);
}

t.strictSame(
  { LEDGER_DOWN_DTYPE, RESTORE_EVIDENCE, UNKNOWN_RESTORE_DTYPE, UNKNOWN_SUBJECT_DTYPE, UPDATE_DTYPE },
  {
    LEDGER_DOWN_DTYPE: 'redownload',
    RESTORE_EVIDENCE: 'confirm',
    UNKNOWN_RESTORE_DTYPE: 'redownload',
    UNKNOWN_SUBJECT_DTYPE: 'download',
    UPDATE_DTYPE: 'redownload',
  },
  'the choices where Apple is silent are these; changing one changes what advertisers are told',
);

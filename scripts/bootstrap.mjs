/**
 * Where `npm start` and `npm test` begin; the work is in set-up.mjs. In the JavaScript of 2019 and without an import:
 * the old Node that a distribution ships must get far enough to say that it is too old.
 */
const NODE_MAJOR_MIN = 20
const { node } = process.versions

if (Number.parseInt(node, 10) >= NODE_MAJOR_MIN) {
  void import('./set-up.mjs')
} else {
  console.error(`Cannot set up Limpet: this is Node ${node}; Node ${NODE_MAJOR_MIN} or newer would be right`)
  process.exitCode = 1
}

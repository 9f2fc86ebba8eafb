/** Of all random tests in this run. Printed, so that a failure can be run again with LIMPET_SEED. */
export const SEED = Number(process.env['LIMPET_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

console.log(`LIMPET_SEED=${SEED}`)

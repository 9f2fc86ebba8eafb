/** A map of probabilities, row by row. */
export interface ProbabilityMap {
  readonly width: number
  readonly height: number
  readonly values: ArrayLike<number>
}

/** Points above the threshold that touch, diagonally too. Right and bottom are the first column and row outside. */
export interface Component {
  readonly left: number
  readonly top: number
  readonly right: number
  readonly bottom: number
  readonly area: number
  readonly mean: number
}

export function* findComponents(map: ProbabilityMap, threshold: number): Generator<Component> {
  // 1: above the threshold and in no component yet.
  const open = Uint8Array.from(map.values, (value) => (value > threshold ? 1 : 0))
  for (let start = open.indexOf(1); start !== -1; start = open.indexOf(1, start + 1)) {
    yield floodComponent(map, open, start)
  }
}

function floodComponent(map: ProbabilityMap, open: Uint8Array, start: number): Component {
  const box = { left: map.width, top: map.height, right: 0, bottom: 0 }
  let sum = 0
  const points = [start]
  // Closed when it is put on the list, so that no point is on it twice.
  open[start] = 0
  // The list grows while it is walked: each point adds its open neighbours.
  for (const point of points) {
    const x = point % map.width
    const y = Math.floor(point / map.width)
    box.left = Math.min(box.left, x)
    box.top = Math.min(box.top, y)
    box.right = Math.max(box.right, x + 1)
    box.bottom = Math.max(box.bottom, y + 1)
    sum += map.values[point] ?? 0
    for (const neighbour of listNeighbours(map, x, y)) {
      if (open[neighbour] !== 1) continue
      open[neighbour] = 0
      points.push(neighbour)
    }
  }
  return { ...box, area: points.length, mean: sum / points.length }
}

/** The point itself is among them; it is closed already. */
function* listNeighbours({ width, height }: ProbabilityMap, x: number, y: number): Generator<number> {
  for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row += 1) {
    for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column += 1) {
      yield row * width + column
    }
  }
}

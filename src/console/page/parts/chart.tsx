import { useEffect, useRef } from 'preact/hooks'
import UPlot from 'uplot'

/** Milliseconds since 1970, then the least, the mean, the greatest and the last value of that stretch. */
export type Point = readonly [timeMs: number, min: number, mean: number, max: number, last: number]

export interface Line {
  readonly label: string
  readonly points: readonly Point[]
}

const HEIGHT = 150
const MINUTE_S = 60
const COLOURS = ['--line-1', '--line-2', '--line-3', '--line-4', '--line-5', '--line-6']
/** More lines than that in one picture nobody can tell apart. */
export const LINES_MAX = COLOURS.length

/** Lines over time; with one line, the band between least and greatest as well. What it shows is also told in words. */
export function Chart(props: {
  readonly title: string
  readonly lines: readonly Line[]
  readonly show: (value: number) => string
}) {
  const frame = useRef<HTMLDivElement>(null)
  const lines = props.lines.slice(0, LINES_MAX)
  useEffect(() => {
    const element = frame.current
    if (element === null) return
    let plot = draw(element, { lines, show: props.show })
    const again = () => {
      plot.destroy()
      plot = draw(element, { lines, show: props.show })
    }
    const sizes = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }))
    sizes.observe(element)
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    scheme.addEventListener('change', again)
    return () => {
      sizes.disconnect()
      scheme.removeEventListener('change', again)
      plot.destroy()
    }
  }, [JSON.stringify(lines)])
  return (
    <figure class="chart">
      <figcaption>{props.title}</figcaption>
      <div
        ref={frame}
        role="img"
        aria-label={`${props.title}: ${lines.map((line) => tell(line, props.show)).join('; ')}`}
      />
      <ul class="legend">
        {lines.map((line, index) => (
          <li key={line.label}>
            <span class={`swatch swatch-${index + 1}`} />
            {line.label === '' ? 'now' : line.label} <b>{props.show(line.points.at(-1)?.[4] ?? 0)}</b>
          </li>
        ))}
      </ul>
    </figure>
  )
}

function tell({ label, points }: Line, show: (value: number) => string): string {
  const least = Math.min(...points.map((point) => point[1]))
  const most = Math.max(...points.map((point) => point[3]))
  return `${label} now ${show(points.at(-1)?.[4] ?? 0)}, from ${show(least)} to ${show(most)}`
}

function draw(
  element: HTMLElement,
  { lines, show }: { lines: readonly Line[]; show: (value: number) => string },
): UPlot {
  const style = getComputedStyle(element)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  const axis = {
    stroke: colour('--ink-soft'),
    grid: { stroke: colour('--rule'), width: 1 },
    ticks: { show: false },
  }
  return new UPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false },
      scales: {
        // One point alone has a time, and no stretch of it.
        x: { range: (_, min, max) => (max > min ? [min, max] : [min - MINUTE_S, max + MINUTE_S]) },
        y: { range: { min: { pad: 0.1, soft: 0, mode: 2 }, max: { pad: 0.1, soft: 1, mode: 2 } } },
      },
      series: [
        {},
        ...lines.flatMap(({ points }, index) =>
          seriesOf(colour(COLOURS[index] ?? '--line-1'), {
            isAlone: lines.length === 1,
            isSparse: points.length < 3,
          }),
        ),
      ],
      bands: lines.length === 1 ? [{ series: [3, 2], fill: `${colour('--line-1')}22` }] : [],
      axes: [
        { ...axis, space: 70 },
        { ...axis, size: 56, values: (_, splits) => splits.map(show) },
      ],
    },
    columnsOf(lines),
    element,
  )
}

function seriesOf(
  stroke: string,
  { isAlone, isSparse }: { isAlone: boolean; isSparse: boolean },
): UPlot.Series[] {
  const mean = { stroke, width: 1.75, points: { show: isSparse, size: 5, fill: stroke } }
  const bound = { stroke: 'transparent', width: 0, points: { show: false } }
  return isAlone ? [mean, bound, bound] : [mean]
}

/** All lines over one row of times; where one has no point, there is a gap. */
function columnsOf(lines: readonly Line[]): UPlot.AlignedData {
  const times = [...new Set(lines.flatMap(({ points }) => points.map((point) => point[0])))].sort(
    (a, b) => a - b,
  )
  const columns = lines.flatMap(({ points }) => {
    const byTime = new Map(points.map((point) => [point[0], point]))
    const column = (of: 1 | 2 | 3) => times.map((time) => byTime.get(time)?.[of] ?? null)
    return lines.length === 1 ? [column(2), column(1), column(3)] : [column(2)]
  })
  return [times.map((time) => time / 1000), ...columns]
}

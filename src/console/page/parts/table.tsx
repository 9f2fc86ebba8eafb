import type { ComponentChildren } from 'preact'

export interface Row {
  readonly key: string | number
  readonly cells: readonly ComponentChildren[]
}

/** On a narrow screen each row is a card, and each cell says of which column it is. */
export function Table(props: {
  readonly caption: string
  readonly columns: readonly string[]
  readonly rows: readonly Row[]
}) {
  return (
    <table>
      <caption class="hidden">{props.caption}</caption>
      <thead>
        <tr>
          {props.columns.map((column) => (
            <th key={column} scope="col">
              {column === '' ? <span class="hidden">Actions</span> : column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {props.rows.map((row) => (
          <tr key={row.key}>
            {row.cells.map((cell, index) => (
              <td key={props.columns[index]} data-column={props.columns[index]}>
                {cell}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

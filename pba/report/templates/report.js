(() => {
  'use strict'
  const make = (name, text = '', kind = '') => {
    const made = document.createElement(name)
    made.textContent = text
    if (kind) made.className = kind
    return made
  }

  // Tables: a click on a heading sorts, another one turns round, a third brings the report's order back.
  const plain = text => text.trim().replaceAll('\u2212', '-').replaceAll('\u00a0', ' ')
  const number = text => /^[-+]?[\d,]*\.?\d+( %)?$/.test(text) ? parseFloat(text.replaceAll(',', '')) : null
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)]
    if (x !== null && y !== null) return x - y
    if (x !== null || y !== null) return x !== null ? -1 : 1
    return a.localeCompare(b, 'en', { numeric: true })
  }
  for (const table of document.querySelectorAll('table:not(.facts)')) {
    const body = table.tBodies[0]
    const rows = [...body.rows]
    const sorted = rows.filter(row => !row.classList.contains('total'))
    if (sorted.length < 3) continue
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells]
    heads.forEach((head, at) => {
      if (head.tagName !== 'TH') return
      const button = make('button', head.textContent, 'sort')
      button.type = 'button'
      head.replaceChildren(button)
      button.addEventListener('click', () => {
        const next = { none: 'ascending', ascending: 'descending', descending: 'none' }
        const order = next[head.getAttribute('aria-sort') || 'none']
        heads.forEach(other => other.removeAttribute('aria-sort'))
        const cell = row => plain(row.cells[at].textContent)
        const wanted = [...sorted]
        if (order !== 'none') {
          head.setAttribute('aria-sort', order)
          wanted.sort((a, b) => (order === 'ascending' ? 1 : -1) * compare(cell(a), cell(b)))
        }
        body.append(...wanted, ...rows.filter(row => row.classList.contains('total')))
      })
    })
  }

  // The front: a point says what it is, and a click shows it recording by recording.
  const spots = [...document.querySelectorAll('.spot')]
  if (!spots.length) return
  const figure = spots[0].closest('figure')
  const tip = make('div', '', 'tip')
  tip.setAttribute('role', 'status')
  tip.hidden = true
  document.body.append(tip)
  for (const spot of spots) {
    const title = spot.querySelector('title')
    spot.dataset.text = title.textContent
    title.remove()
    const show = () => {
      tip.textContent = spot.dataset.text
      tip.hidden = false
      const [box, own] = [spot.getBoundingClientRect(), tip.getBoundingClientRect()]
      const widest = document.documentElement.clientWidth - own.width - 8
      tip.style.left = `${window.scrollX + Math.max(8, Math.min(box.right + 8, widest))}px`
      tip.style.top = `${window.scrollY + Math.max(8, box.top - own.height - 8)}px`
    }
    spot.addEventListener('pointerenter', show)
    spot.addEventListener('pointerleave', () => { tip.hidden = true })
    spot.addEventListener('click', () => { show(); choose(spot) })
  }

  const data = JSON.parse(document.getElementById('front-details').textContent)
  const panel = make('div', '', 'chosen')
  const hint = make('p', 'Point at a place of the figure to see its thresholds; click it to see it recording by recording.', 'hint')
  panel.append(hint)
  figure.append(panel)

  const bars = (values, patch, written) => {
    const most = Math.max(...values, ...patch, 1e-9)
    return values.map((value, at) => {
      const cell = make('td', '', 'bars')
      const bar = (size, kind) => {
        const made = make('span', '', kind)
        made.style.width = `${100 * size / most}%`
        return made
      }
      cell.append(bar(patch[at], 'bar patch'), bar(value, 'bar'), make('span', written(patch[at], value), 'figures'))
      return cell
    })
  }
  const figure_of = value => value.toLocaleString('en', { maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 })
  const written = (before, after) =>
    before === after ? figure_of(after) : `${figure_of(before)} \u2192 ${figure_of(after)}`

  const choose = spot => {
    const found = data.points[spot.dataset.point]
    if (!found) return
    spots.forEach(other => other.classList.toggle('picked', other === spot))
    const table = make('table')
    table.append(make('caption', 'Patch (above) and this point (below), recording by recording'))
    const head = table.createTHead().insertRow()
    head.append(make('th', 'recording', 'left'), ...data.aims.map(name => make('th', name, 'left')))
    const columns = found.map((values, at) => bars(values, data.patch[at], written))
    const body = table.createTBody()
    data.recordings.forEach((name, at) => {
      const row = body.insertRow()
      row.append(make('th', name, 'left'), ...columns.map(column => column[at]))
    })
    const scroll = make('div', '', 'scroll')
    scroll.tabIndex = 0
    scroll.append(table)
    panel.replaceChildren(make('p', spot.dataset.text, 'point'), scroll)
  }

  // On a narrow page the figure scrolls: begin where the patch and the recommended point are seen.
  const frame = figure.querySelector('.scroll')
  const named = spots.filter(spot => /^(patch|recommended|.* and recommended)/.test(spot.dataset.text))
  if (frame.scrollWidth > frame.clientWidth && named.length) {
    const middles = named.map(spot => {
      const box = spot.getBoundingClientRect()
      return (box.left + box.right) / 2 - frame.getBoundingClientRect().left
    })
    frame.scrollLeft = (Math.min(...middles) + Math.max(...middles) - frame.clientWidth) / 2
  }
})()

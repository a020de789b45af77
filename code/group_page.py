"""The part of the report's page about thousands of models: a table to search, filter and sort.

The models are JSON in the page, a list for each column. The script creates only the visible rows, all of
the same height, so 10,000 models take as long as 20. All texts become text nodes, never markup.
"""

SCRIPT = """
const all = document.querySelector('.all')
if (all) {
  const models = JSON.parse(document.getElementById('models').textContent), ROW = 44, MORE = 6
  const [pane, search, choice, count, said] =
    ['.pane', 'input', 'select', 'output', '.chosen'].map((one) => all.querySelector(one))
  const [table, body] = [pane.querySelector('table'), pane.querySelector('tbody')]
  const heads = [...pane.querySelectorAll('th')], collator = new Intl.Collator(undefined, {numeric: true})
  const number = (value) => {
    if (value === null) return '–'
    const size = Math.abs(value)
    if (value !== 0 && (size >= 1e9 || size < 1e-4)) return value.toExponential(2).replace('-', '−')
    const places = size ? Math.max(0, 2 - Math.floor(Math.log10(size))) : 0
    return value.toLocaleString('en', {maximumFractionDigits: places, useGrouping: size >= 10000}).replace('-', '−')
  }
  const shown = {
    result: (at) => models.words[models.result[at]], uses: (at) => models.words[models.uses[at]],
    ratio: (at) => models.ratio[at] === null ? '–' : `${number(Math.round(models.ratio[at] * 1000) / 10)} %`,
    value: (at) => models.value[at],
  }
  const cell = (key, at) => shown[key] ? shown[key](at) : number(models[key][at])
  const reason = (at) => models.reasons[models.reason[at]]
  const texts = models.value.map((value, at) => `${value}\\n${models.name[at]}\\n${reason(at)}`.toLowerCase())
  let order = models.value.map((_, at) => at), found = order, chosen = -1, waiting = false

  const line = (at, place) => {
    const row = document.createElement('tr')
    row.setAttribute('aria-rowindex', place + 2)
    row.className = at === chosen ? 'chosen' : ''
    for (const head of heads) {
      const one = row.insertCell(), key = head.dataset.key
      one.className = head.className
      const inner = key === 'result' ? one.appendChild(document.createElement('span')) : one
      if (key === 'result') inner.className = models.good.includes(models.result[at]) ? 'pill' : 'pill bad'
      inner.append(cell(key, at))
      if (key === 'value') one.title = models.value[at]
    }
    row.addEventListener('click', () => choose(at))
    return row
  }
  const space = (lines) => {
    const row = document.createElement('tr')
    row.className = 'space'
    row.insertCell()
    row.style.height = `${lines * ROW}px`
    return row
  }
  const draw = () => {
    waiting = false
    const first = Math.max(0, Math.floor(pane.scrollTop / ROW) - MORE)
    const last = Math.min(found.length, first + Math.ceil(pane.clientHeight / ROW) + 2 * MORE)
    const lines = found.slice(first, last).map((at, place) => line(at, first + place))
    body.replaceChildren(space(first), ...lines, space(found.length - last))
  }
  const later = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw) } }
  const choose = (at) => {
    chosen = at
    const name = models.name[at] === models.value[at] ? '' : ` (${models.name[at]})`
    const rows = `${number(models.rows[at])} rows with a label, ${number(models.filled[at])} gaps filled`
    const why = reason(at) || `${cell('result', at)}.`
    said.textContent = `${models.value[at]}${name}: ${why} ${rows}, group ${models.group[at]}.`
    draw()
  }
  const select = () => {
    const words = search.value.toLowerCase().trim(), kind = choice.value
    const wanted = kind === '' ? -1 : Number(kind)
    found = order.filter((at) =>
      (wanted < 0 || models.result[at] === wanted || models.uses[at] === wanted) && texts[at].includes(words))
    count.textContent = `${found.length.toLocaleString('en')} of ${order.length.toLocaleString('en')} models`
    table.setAttribute('aria-rowcount', found.length + 1)
    pane.scrollTop = 0
    draw()
  }
  const sort = (head) => {
    const key = head.dataset.key, down = head.getAttribute('aria-sort') === 'ascending', sign = down ? -1 : 1
    for (const one of heads) one.removeAttribute('aria-sort')
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending')
    const value = shown[key] && key !== 'ratio' ? order.map((_, at) => shown[key](at)) : models[key]
    const compare = typeof value[0] === 'string' ? collator.compare : (a, b) => a - b
    order = [...order].sort((a, b) => value[a] === null || value[b] === null
      ? (value[a] === null) - (value[b] === null) : sign * compare(value[a], value[b]))
    select()
  }
  for (const head of heads) head.addEventListener('click', () => sort(head))
  search.addEventListener('input', select)
  choice.addEventListener('change', select)
  pane.addEventListener('scroll', later, {passive: true})
  addEventListener('resize', later)
  pane.addEventListener('keydown', (event) => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key]
    if (!step || !found.length || event.target !== pane) return
    event.preventDefault()
    const place = Math.min(Math.max(found.indexOf(chosen) + step, 0), found.length - 1), top = place * ROW
    const low = top + 2 * ROW - pane.clientHeight  // the header takes a row
    pane.scrollTop = Math.min(Math.max(pane.scrollTop, low), top)
    choose(found[place])
  })
  all.hidden = false
  select()
}
"""

STYLE = """
.all{padding-bottom:14px}.tools{display:flex;flex-wrap:wrap;gap:10px 18px;align-items:center;margin-bottom:12px}
.tools label{display:flex;gap:8px;align-items:center;font-size:13.5px;color:var(--soft)}
.tools input,.tools select{font:inherit;font-size:14px;color:var(--ink);background:var(--ground);max-width:100%;
border:1px solid var(--line);border-radius:8px;padding:6px 10px;min-width:0}.tools input{width:min(300px,60vw)}
.tools output{margin-left:auto;font-size:13.5px;color:var(--soft)}
.pane{height:min(620px,80vh);overflow:auto;border-top:1px solid var(--line)}
.pane:focus-visible,.tools :focus-visible,.pane button:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
.pane table{table-layout:fixed;border-collapse:separate;border-spacing:0}
.pane th{position:sticky;top:0;background:var(--card);z-index:1;height:44px;padding:0 14px 0 0;vertical-align:middle}
.pane th button{all:unset;cursor:pointer;max-width:100%;overflow:hidden;text-overflow:ellipsis}
.pane th[aria-sort] button{color:var(--ink)}
.pane th[aria-sort=ascending] button::after{content:" ↑"}.pane th[aria-sort=descending] button::after{content:" ↓"}
.pane td{height:44px;padding:0 14px 0 0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.pane tbody tr{cursor:pointer}.pane tr.chosen td{background:var(--track)}.pane tr.space{cursor:default}
.pane tr.space td{height:0;padding:0;border:0}.pane td:first-child{font-weight:600}
.pane .n{width:7.2em}.pane th:nth-child(2){width:10em}.pane th:last-child{width:11.5em}
.chosen.said{min-height:2.9em}.outcomes td:nth-child(2){width:50%}.outcomes svg{display:block;width:100%;height:12px}
.outcomes td:first-child{min-width:0}.outcomes+h4{margin-top:22px}
@media (max-width:640px){.pane .more,.worst .more{display:none}.pane td,.pane th{padding-right:8px}
.pane .n{width:6.2em}.pane th:nth-child(2){width:7.5em}.tools output{margin-left:0}}
@media print{.all{display:none}}
"""

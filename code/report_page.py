"""The report's page without its content. stepgluon/runs/report.py reads PAGE, too, for runs that failed.

PAGE is a template of string.Template for markup: title, body, style, script and script_hash. The script sorts tables by
the column whose header is clicked.
"""

SCRIPT = """
for (const table of document.querySelectorAll('table.sortable')) {
  table.tHead.addEventListener('click', ({target}) => {
    const head = target.closest('th'), row = table.tBodies[0]
    if (!head) return
    const down = head.getAttribute('aria-sort') === 'ascending'
    for (const one of head.parentNode.children) one.removeAttribute('aria-sort')
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending')
    const key = (line) => line.children[head.cellIndex].dataset.value ?? line.children[head.cellIndex].textContent
    const order = (a, b) => key(a).localeCompare(key(b), undefined, {numeric: true})
    const value = (a, b) => isNaN(key(a)) || isNaN(key(b)) ? order(a, b) : key(a) - key(b)
    row.append(...[...row.rows].sort((a, b) => down ? value(b, a) : value(a, b)))
  })
}
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((one) => { one.open = true }))
"""

STYLE = """
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#171c24;--soft:#5d6878;--faint:#8a94a3;--line:#e3e7ec;
--track:#eceff3;--accent:#2f6bd8;--good:#137a4a;--good-soft:#e3f4ea;--bad:#b3382c;--bad-soft:#fbe9e7;--warm:#c77700}
@media (prefers-color-scheme:dark){:root{--ground:#0f141a;--card:#171e27;--ink:#e8ecf1;--soft:#a3afbe;--faint:#78859a;
--line:#2a3441;--track:#26303c;--accent:#6fa3ff;--good:#5fd39b;--good-soft:#16352a;--bad:#ff9085;--bad-soft:#40211f;
--warm:#f0b255}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,"Noto Sans","Liberation Sans",sans-serif;font-variant-numeric:tabular-nums;
-webkit-text-size-adjust:100%}
main{max-width:1120px;margin:0 auto;padding:56px 32px 72px}
header .over{margin:0 0 12px;color:var(--soft);font-size:14px}
h1{margin:0;font-size:clamp(30px,5vw,46px);line-height:1.12;letter-spacing:-.022em;font-weight:680;text-wrap:balance;
overflow-wrap:anywhere}
.lead{margin:14px 0 0;max-width:60ch;font-size:19px;line-height:1.5;color:var(--soft);overflow-wrap:anywhere}
.lead b{color:var(--ink);font-weight:600}
h2{margin:64px 0 4px;font-size:24px;letter-spacing:-.012em;line-height:1.25}
h2+p{margin:0 0 20px;color:var(--soft);max-width:75ch}
h3{margin:0;font-size:17px;overflow-wrap:anywhere}
h4{margin:0 0 10px;font-size:14px;font-weight:600}
p{overflow-wrap:anywhere}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;margin:36px 0 0;
background:var(--line);border:1px solid var(--line);border-radius:14px;overflow:hidden}
.figures div{background:var(--card);padding:18px 22px}
.figures dt{color:var(--soft);font-size:13px}
.figures dd{margin:2px 0 0;font-size:25px;font-weight:640;letter-spacing:-.015em;line-height:1.2}
.figures dd small{display:block;margin-top:3px;font-size:13px;font-weight:400;letter-spacing:0;color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(310px,1fr));gap:18px}
.card,.panel,details{background:var(--card);border:1px solid var(--line);border-radius:14px}
.card{padding:22px 24px 20px;min-width:0}
.panel{padding:22px 24px;overflow-x:auto}
.card .head{display:flex;gap:10px;justify-content:space-between;align-items:flex-start}
.pill{flex:none;padding:2px 10px;border-radius:99px;font-size:12.5px;font-weight:600;white-space:nowrap;
background:var(--good-soft);color:var(--good)}
.pill.bad{background:var(--bad-soft);color:var(--bad)}
.big{margin:14px 0 0;font-size:40px;line-height:1;font-weight:660;letter-spacing:-.025em}
.big small{display:block;
margin-top:8px;font-size:14px;line-height:1.4;font-weight:400;letter-spacing:0;color:var(--soft)}
.card .bullet{margin:16px 0 6px}
.bullet{display:block;width:100%;height:18px}
.bullet .track{fill:var(--track)}.bullet .bar{fill:var(--accent)}.bullet .bad{fill:var(--bad)}
.bullet line{stroke:var(--ink);stroke-width:2;vector-effect:non-scaling-stroke}
.bullet .median{stroke:var(--warm)}.bullet .promoted{stroke:var(--good)}
.marks{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px;color:var(--soft)}
.marks span::before{content:"";display:inline-block;width:2px;height:11px;margin-right:6px;background:var(--ink);
vertical-align:-1px}
.marks .median::before{background:var(--warm)}.marks .promoted::before{background:var(--good)}
.runs{display:flex;align-items:center;gap:12px;margin:12px 0 0;font-size:13px;color:var(--soft)}
.runs svg{flex:1;min-width:60px;height:28px;overflow:visible}.runs span{white-space:nowrap}td .runs{margin:6px 0 0}
.runs path{fill:none;stroke:var(--accent);stroke-width:1.75;stroke-linejoin:round;vector-effect:non-scaling-stroke}
.runs .end{stroke-width:6;stroke-linecap:round}.runs .limit{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3}
.facts{display:grid;grid-template-columns:1fr 1fr;gap:6px 18px;margin:16px 0 0;padding-top:14px;
border-top:1px solid var(--line);font-size:13.5px}
.facts div{display:flex;justify-content:space-between;gap:8px}
.facts dt{color:var(--soft);white-space:nowrap}.facts dd{margin:0;font-weight:550;text-align:right}
.said{margin:14px 0 0;font-size:13.5px;color:var(--soft)}
.note{margin:0 0 18px;padding:10px 14px;border-radius:9px;background:var(--track);font-size:14px}
details{margin:0 0 12px}
summary{padding:15px 22px;cursor:pointer;font-weight:600;overflow-wrap:anywhere}
summary small{margin-left:8px;font-weight:400;font-size:14px;color:var(--soft)}
details>div{padding:6px 24px 24px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:24px 36px;margin-bottom:26px}
.pair>*{min-width:0}
.wide{overflow-x:auto}div+.pair{margin-top:26px}
.chart{display:block;width:100%;max-width:520px;height:auto;overflow:visible}
.chart text{font-size:10.5px;fill:var(--soft)}
.chart .up,.chart .name{text-anchor:end}.chart .across,.chart .title{text-anchor:middle}
.chart .name{fill:var(--ink)}.chart .value{fill:var(--ink)}
.grid{stroke:var(--line)}.same{stroke:var(--warm);stroke-width:1.5}
.dots{stroke:var(--accent);stroke-width:5.5;stroke-linecap:round;opacity:.5;fill:none}
.cells,.chart .bar{fill:var(--accent)}.spread{stroke:var(--ink);stroke-width:1.5}
table{width:100%;border-collapse:collapse;font-size:14px}
th{padding:8px 14px 8px 0;border-bottom:1px solid var(--line);color:var(--soft);font-weight:500;font-size:13px;
text-align:left;white-space:nowrap;vertical-align:bottom}
td{padding:9px 14px 9px 0;border-bottom:1px solid var(--line);vertical-align:middle;overflow-wrap:break-word}
.panel td:first-child{min-width:110px}td b{overflow-wrap:anywhere}
tr:last-child td{border-bottom:0}
.n{text-align:right;white-space:nowrap}
.sortable th{cursor:pointer}.sortable th[aria-sort]{color:var(--ink)}
.sortable th[aria-sort=ascending]::after{content:" ↑"}.sortable th[aria-sort=descending]::after{content:" ↓"}
.sortable td:first-child{min-width:130px}td .bullet{min-width:150px;height:14px}
td .chart{width:160px;height:34px}.asked{fill:none;stroke:var(--warm);stroke-width:1.5;vector-effect:non-scaling-stroke}
.soft{color:var(--soft)}
td b{font-weight:600}
.values{font-size:13px;color:var(--soft)}
.key{display:inline-block;width:10px;height:10px;margin:0 6px 0 0;border-radius:2px;background:var(--accent)}
.key.line{height:2px;width:14px;vertical-align:4px;background:var(--warm)}
pre{margin:0;padding:16px 18px;border-radius:10px;background:var(--track);font:13px/1.5 ui-monospace,"SF Mono",Menlo,
Consolas,"DejaVu Sans Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere}
.reason{margin:22px 0 0;padding:22px 26px;border-radius:14px;border-left:5px solid var(--bad);
background:var(--bad-soft);font-size:22px;line-height:1.42;letter-spacing:-.008em}
.about{margin:14px 2px 0;font-size:13.5px;color:var(--soft)}.about+.about{margin-top:2px}
.timeline a{color:inherit;text-decoration-color:var(--faint);text-underline-offset:3px}
.key.waited{background:var(--faint)}.key.cachedjob{background:var(--good)}.key.broke{background:var(--bad)}
h2+p .key{margin-left:8px}
footer{margin-top:64px;padding-top:18px;border-top:1px solid var(--line);color:var(--faint);font-size:13px}
.lane{fill:var(--track)}.ran{fill:var(--accent)}.waited{fill:var(--faint)}.cachedjob{fill:var(--good)}.broke{fill:var(--bad)}
.timeline td{padding-top:5px;padding-bottom:5px;border:0}.timeline td:first-child{white-space:nowrap}
.timeline td:nth-child(2){width:60%}.timeline svg{display:block;width:100%;height:14px}
@media (max-width:640px){.sortable .more,td .runs span{display:none}td .bullet{min-width:90px}
main{padding:32px 18px 48px}.lead{font-size:17px}.figures div{padding:14px 16px}
.figures{grid-template-columns:1fr 1fr}.card,.panel{padding-left:18px;padding-right:18px}
details>div{padding-left:18px;padding-right:18px}h2{margin-top:48px}.reason{font-size:18px;padding:18px 20px}}
@media print{:root{color-scheme:light;--ground:#fff;--card:#fff;--ink:#000;--soft:#444;--faint:#666;--line:#ccc;
--track:#eee;--accent:#2f6bd8;--good:#137a4a;--good-soft:#e3f4ea;--bad:#b3382c;--bad-soft:#fbe9e7;--warm:#c77700}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}main{max-width:none;padding:0}body{font-size:12px}
.card,.panel,.pair>*,tr{break-inside:avoid}h2,h2+p,h4,summary{break-after:avoid}.panel,.wide{overflow:visible}
table{font-size:10.5px}td,th{padding:3px 8px 3px 0}th{font-size:10px}h2{margin-top:36px}.chart{max-width:340px}}
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline';
script-src '$script_hash'; base-uri 'none'; form-action 'none'">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body
</main>
<script>$script</script>
</body>
</html>
"""

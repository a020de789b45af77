'use strict';
// Text of runs, logs and mails reaches the page as text nodes and attributes alone.
const FEW = 6; // models that all have a card
const token = document.querySelector('meta[name=token]').content;
const $$ = id => document.getElementById(id);
const chosen = {run: decodeURIComponent(location.hash.slice(1)), model: ''};
let state = null, skew = 0, events = null, ended = false;
const shown = {};

function h(tag, attributes, ...children) {
  const svg = ['svg', 'path', 'line', 'circle', 'text', 'title'].includes(tag);
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === 'width%') node.style.width = value + '%';
    else if (name === 'left%') node.style.left = value + '%';
    else if (name === 'click') node.addEventListener('click', value);
    else if (name === 'key') node.addEventListener('keydown', value);
    else if (value !== false && value !== null) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter(Boolean));
  return node;
}
const number = (value, least = 1) => value === null || value === undefined ? '–'
  : new Intl.NumberFormat('en', {minimumSignificantDigits: least, maximumSignificantDigits: 4}).format(value);
const two = value => String(value).padStart(2, '0');
function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  return s < 3600 ? Math.floor(s / 60) + ':' + two(s % 60)
    : Math.floor(s / 3600) + ':' + two(Math.floor(s / 60) % 60) + ':' + two(s % 60);
}
const clock = at => new Date(at * 1000).toLocaleTimeString('en-GB');
const day = at => new Date(at * 1000).toLocaleDateString('en-CA') + ' ' + clock(at);
const now = () => Date.now() / 1000 + skew;
const WORDS = {SUCCEEDED: ['finished', 'done'], RUNNING: ['running', 'running'], FAILED: ['failed', 'failed'],
  ABORTED: ['stopped', ''], TIMED_OUT: ['took too long', 'failed'], 'CUT OFF': ['cut off', '']};

// Rebuilds a part only if its data has changed, to keep selections and open mails.
function part(id, data, build) {
  const text = JSON.stringify(data);
  if (shown[id] === text) return;
  shown[id] = text;
  $$(id).replaceChildren(...build(data).filter(Boolean));
}

function listen() {
  if (events) events.close();
  const query = new URLSearchParams({token, run: chosen.run, model: chosen.model});
  events = new EventSource('/_live/events?' + query);
  events.onopen = () => { document.body.className = 'on'; };
  events.onmessage = event => {
    const message = JSON.parse(event.data);
    skew = message.now - Date.now() / 1000;
    if (message.state.problem) return say(message.state.problem);
    if (!ended) say('');
    state = message.state;
    draw();
  };
  events.addEventListener('end', () => {
    ended = true;
    events.close();
    document.body.className = '';
    $$('buttons').replaceChildren();
    say('The server has stopped. This is the last state.');
  });
  events.onerror = () => {
    document.body.className = '';
    if (!ended) say('Connection lost; reconnecting.');
  };
}
function say(text) { $$('notice').textContent = text; }
function choose(change) { Object.assign(chosen, change); if (ended) return; listen(); if (state) draw(); }
function pick(model) { choose({model: chosen.model === model ? '' : model}); }
const press = (what, act) => ({click: act, tabindex: 0, 'aria-label': what,
  key: event => { if (event.key === 'Enter') act(); }});

async function send(button, action, run) {
  button.disabled = true;
  const answer = await fetch('/_live/' + action, {method: 'POST', headers: {'X-Live-Token': token}, body: run})
    .then(response => response.text(), () => 'The server does not answer.');
  button.disabled = false;
  say(answer);
}

function draw() {
  const run = state.run;
  document.title = state.headline + ' · ' + state.title;
  $$('place').textContent = state.title + ' on ' + state.place;
  $$('headline').textContent = state.headline;
  part('buttons', run && [run.run, run.stop, run.promote, run.report], ([name, stop, promote, report] = []) => [
    report && h('a', {href: report, target: '_blank', rel: 'noopener'}, 'Report'),
    stop && h('button', {click: event => {
      if (confirm('Stop this run and its jobs?')) send(event.target, 'stop', name);
    }}, 'Stop'),
    promote && h('button', {class: 'main', click: event => send(event.target, 'promote', name)}, 'Promote models'),
  ]);
  part('stages', state.stages, stages => stages.map(stage => h('div', {class: 'stage'},
    h('span', {}, stage.words), h('b', {}, stage.name),
    h('div', {class: 'steps'}, ...stage.steps.map((step, place) => h('i', {class: step,
      title: stage.steps.length > 1 ? state.models[place].name + ': ' + step : step}))))));
  const failure = run && run.failure;
  $$('failure').hidden = !failure;
  part('failure', failure, failed => failed ? [h('p', {}, failed.sentence || 'No reason is known.')] : []);
  part('models', [state.models, chosen.model], models);
  $$('all').hidden = state.models.length <= FEW;
  part('all', [state.models, chosen.model], ([all, picked]) => all.length > FEW ? [unit(all), table(all, picked)] : []);
  $$('log').hidden = !state.log;
  part('log', state.log, log => log ? [h('h2', {}, 'Log of ' + log.state),
    h('pre', {}, log.lines.join('\n') || 'The log is empty.')] : []);
  $$('mails').hidden = !state.mails.length && !state.recipients;
  part('mails', [state.mails, state.recipients], ([mails, recipients]) => recipients ? [h('h2', {}, 'Mails'),
    h('p', {}, 'They go to ' + recipients + '; this page cannot show them.')] : [
    h('h2', {}, mails.length === 1 ? '1 mail' : mails.length + ' mails'),
    ...mails.map((mail, place) => h('details', {open: place === 0},
      h('summary', {}, h('time', {}, clock(Date.parse(mail.date) / 1000)), mail.subject.split(': ').pop()),
      h('pre', {}, 'To: ' + mail.to + '\nSubject: ' + mail.subject + '\n\n' + mail.text)))]);
  $$('runs').hidden = false;
  part('runs', [state.runs, run && run.run], runs);
  tick();
}

function models([all, picked]) {
  const some = all.length <= FEW ? all : all.filter(model => model.state === 'running' || model.predicting);
  return [some.length > 0 && unit(all), some.length > 0 && h('div', {class: 'cards'}, ...some.map(model => card(model, picked)))];
}

function card(model, picked) {
  const judged = model.error !== null, error = judged ? model.error : model.best;
  const beside = [model.threshold !== null && 'limit ' + number(model.threshold),
    model.median !== null && (model.metric === 'mae' ? 'median ' : 'baseline ') + number(model.median)].filter(Boolean).join(' · ');
  const what = error === null ? (state.run.stop ? 'no error yet' : 'no error')
    : judged ? (model.metric === 'mae' ? '' : model.metric + ' ') + 'on held-out rows' : 'best of ' + count(model.scores.length, model.tuned ? 'training' : 'learner') + ', validation';
  return h('article', {class: 'card' + (model.name === picked ? ' chosen' : ''),
    ...press('Show the log of ' + model.name, () => pick(model.name))},
    h('div', {class: 'row'}, h('h3', {}, model.name), word(model)),
    h('div', {class: 'row'}, h('span', {class: 'big'}, number(error, 4)), h('span', {class: 'soft'}, what)),
    h('p', {class: 'soft'}, beside || '\u00a0'),
    curve(model),
    model.began !== null && model.limit
      ? h('div', {}, h('div', {class: 'row soft'}, h('span', {}, model.learner || (model.scores.length ? 'scoring' : 'starting')),
          // The limit is that of fitting; the scores come after it.
          h('span', {'data-began': model.began, 'data-of': model.scores.length && !model.learner ? null : model.limit})),
          h('div', {class: 'bar'}, h('i', {'data-began': model.began, 'data-of': model.limit})))
      : h('p', {class: 'soft'}, model.reason || model.learner || after(model)));
}
function unit(all) {
  const labels = [...new Set(all.map(model => model.label))].join(', ');
  return h('h2', {}, 'Mean absolute error' + (labels ? ' of ' + labels : ''));
}
const count = (many, one) => many + ' ' + one + (many === 1 ? '' : 's');
function after(model) {
  if (model.cached) return 'Cached from an earlier run';
  return model.seconds !== null ? 'Trained in ' + span(model.seconds) : '\u00a0';
}
function word(model) {
  return h('span', {class: 'word ' + (model.predicting ? 'running' : model.state)}, model.word);
}

// Each learner's error as a dot, and the best so far as a falling line, between limit and median.
function curve(model) {
  const narrow = document.documentElement.clientWidth - 76; // of a single column, so that texts keep their size
  const wide = narrow > 660 ? 340 : narrow, high = 120, scores = model.scores.map(([, error]) => error);
  const marks = [model.threshold, model.median].filter(value => value !== null);
  const picture = h('svg', {viewBox: `0 0 ${wide} ${high}`, role: 'img',
    'aria-label': 'Best error so far: ' + number(model.best)});
  if (!scores.length && !marks.length) return picture;
  const best = scores.map((_, place) => Math.min(...scores.slice(0, place + 1)));
  const least = Math.min(...scores, ...marks);
  const most = Math.max(...marks, Math.min(Math.max(...scores, least), 1.5 * Math.max(...marks, ...best.slice(0, 1))));
  const room = (most - least || most || 1) * 0.12, end = wide - 88;
  const y = value => 8 + (high - 18) * (1 - (Math.min(value, most) - least + room) / (most - least + 2 * room));
  const x = place => 5 + (end - 14) * (scores.length > 1 ? place / (scores.length - 1) : 0);
  picture.append(h('line', {class: 'base', x1: 0, x2: wide, y1: high - 1, y2: high - 1}));
  const labels = [['limit', model.threshold], ['median', model.median]].filter(([, value]) => value !== null)
    .map(([name, value]) => ({name, value, at: y(value)})).sort((a, b) => a.at - b.at);
  labels.forEach((one, place) => {
    const under = place && one.at - labels[0].at < 13 ? labels[0].at + 13 : one.at;
    picture.append(h('line', {class: one.name, x1: 0, x2: end, y1: one.at, y2: one.at}),
      h('text', {x: end + 6, y: under + 4}, one.name + ' ' + number(one.value)));
  });
  if (scores.length) {
    const points = best.map((error, place) => (place ? `H${x(place)}V${y(error)}` : `M${x(0)} ${y(error)}`)).join('');
    picture.append(h('path', {class: 'area', d: `${points}V${high - 1}H${x(0)}Z`}), h('path', {class: 'best', d: points}));
    scores.forEach((error, place) => picture.append(h('circle', {cx: x(place), cy: y(error),
      r: error === best[place] ? 4 : 2.5, class: error === best[place] ? 'lead' : 'tried'},
    h('title', {}, model.scores[place][0] + ': ' + number(error)))));
  }
  return picture;
}

function table(all, picked) {
  const most = Math.max(...all.map(model => Math.max(model.error || model.best || 0, model.threshold || 0))) * 1.05 || 1;
  const heads = [['Model', ''], ['State', ''], ['Error against limit', 'wide'], ['Error', 'n'], ['Limit', 'n'],
    ['Median', 'n wide'], ['Time', 'n wide']];
  return h('table', {},
    h('thead', {}, h('tr', {}, ...heads.map(([name, kind]) => h('th', {class: kind}, name)))),
    h('tbody', {}, ...all.map(model => {
      const error = model.error === null ? model.best : model.error;
      return h('tr', {class: 'open' + (model.name === picked ? ' chosen' : ''), title: model.reason,
        ...press('Show the log of ' + model.name, () => pick(model.name))},
        h('td', {}, model.name), h('td', {}, word(model)),
        h('td', {class: 'wide'}, h('div', {class: 'meter'},
          error !== null && h('i', {class: model.state, 'width%': Math.min(100, 100 * error / most)}),
          model.threshold !== null && h('b', {'left%': 100 * model.threshold / most}))),
        h('td', {class: 'n'}, number(error, 4)), h('td', {class: 'n'}, number(model.threshold)),
        h('td', {class: 'n wide'}, number(model.median)),
        h('td', {class: 'n wide', 'data-began': model.began, 'data-of': model.limit},
          model.cached ? 'cached' : model.seconds === null ? '' : span(model.seconds)));
    })));
}

function runs([all, current]) {
  if (!all.length) return [h('p', {class: 'soft'}, 'The page shows each run as soon as it starts.')];
  return [h('h2', {}, count(all.length, 'run')), h('table', {}, h('tbody', {}, ...all.map(run => {
    const [said, kind] = WORDS[run.status] || [run.status, ''];
    return h('tr', {class: 'open' + (run.run === current ? ' chosen' : ''), ...press('Show ' + run.run, () => {
      location.hash = encodeURIComponent(run.run);
      choose({run: run.run, model: ''});
    })},
    h('td', {}, run.run), h('td', {}, h('span', {class: 'word ' + kind}, said)),
    h('td', {class: 'wide'}, run.note), h('td', {class: 'n wide'}, day(run.started)),
    run.status === 'RUNNING' ? h('td', {class: 'n', 'data-began': run.started}) : h('td', {class: 'n'}, span(run.seconds)));
  })))];
}

// Clocks and bars need no events.
function tick() {
  if (!state || ended && state.run && state.run.stop) return;
  for (const node of document.querySelectorAll('[data-began]')) {
    const seconds = now() - node.dataset.began, limit = node.dataset.of;
    if (node.matches('.bar i')) node.style.width = Math.min(100, 100 * seconds / limit) + '%';
    else node.textContent = span(seconds) + (limit ? ' of ' + span(limit) : '');
  }
  const run = state.run;
  $$('about').textContent = run ? [run.run, 'started ' + clock(run.started),
    span(run.seconds === null ? now() - run.started : run.seconds) + (run.stop ? ' so far' : ' in all'), run.note]
    .filter(Boolean).join(' · ') : 'Upload a table and a .run file, or call `run`.';
}
setInterval(tick, 1000);
listen();

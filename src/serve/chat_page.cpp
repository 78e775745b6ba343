#include "serve/chat_page.h"

namespace argosy::serve {
namespace {

constexpr const char* kStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #16202c; --muted: #5b6776; --rule: #e1e5ea;
  --accent: #1f5fbf; --on-accent: #ffffff; --mine: #e4edfb; --code: #f0f2f5; --bad: #b42318;
}
@media (prefers-color-scheme: dark) {
  :root:not([data-theme="light"]) {
    --page: #0f141a; --card: #171e26; --ink: #e6ebf1; --muted: #95a2b1; --rule: #2a343f;
    --accent: #6aa5ff; --on-accent: #0b1420; --mine: #1c2b42; --code: #0b1016; --bad: #ff7b6b;
  }
}
:root[data-theme="light"] { color-scheme: light; }
:root[data-theme="dark"] {
  color-scheme: dark;
  --page: #0f141a; --card: #171e26; --ink: #e6ebf1; --muted: #95a2b1; --rule: #2a343f;
  --accent: #6aa5ff; --on-accent: #0b1420; --mine: #1c2b42; --code: #0b1016; --bad: #ff7b6b;
}
* { box-sizing: border-box; }
html, body { height: 100%; }
body { margin: 0; display: flex; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
button, input, textarea { font: inherit; color: inherit; }
button { cursor: pointer; border: 1px solid var(--rule); border-radius: 8px; background: var(--card);
  padding: 6px 12px; }
button:hover { border-color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
aside { width: 264px; flex: none; display: flex; flex-direction: column; gap: 10px; padding: 14px 12px;
  border-right: 1px solid var(--rule); background: var(--card); }
aside h1 { font-size: 15px; margin: 0; letter-spacing: .04em; }
aside h1 small { display: block; font-weight: 400; color: var(--muted); letter-spacing: 0;
  overflow-wrap: anywhere; }
#conversations { list-style: none; margin: 0; padding: 0; overflow-y: auto; flex: 1; }
#conversations li { display: flex; border-radius: 8px; }
#conversations li.current { background: var(--mine); }
#conversations button { border: 0; background: none; text-align: left; }
#conversations .title { flex: 1; min-width: 0; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
#conversations .remove { color: var(--muted); visibility: hidden; padding: 6px 10px; }
#conversations li:hover .remove, #conversations li:focus-within .remove { visibility: visible; }
main { flex: 1; min-width: 0; display: flex; flex-direction: column; }
header { display: flex; gap: 8px; align-items: center; justify-content: flex-end; padding: 10px 16px; }
header .quiet { margin-right: auto; }
.quiet { color: var(--muted); font-size: 14px; }
#menu { display: none; }
#settings { display: none; margin: 0 16px 10px; padding: 14px 16px; gap: 12px; border: 1px solid var(--rule);
  border-radius: 10px; background: var(--card); }
#settings.open { display: grid; }
#settings label { display: grid; gap: 4px; font-size: 14px; color: var(--muted); }
#settings textarea { color: var(--ink); }
textarea, input[type="number"] { width: 100%; border: 1px solid var(--rule); border-radius: 8px;
  background: var(--page); padding: 8px 10px; resize: vertical; }
#messages { flex: 1; overflow-y: auto; scrollbar-width: thin; padding: 8px 16px 24px; }
#messages > * { max-width: 760px; margin: 0 auto 18px; }
.empty { color: var(--muted); text-align: center; padding-top: 18vh; }
#messages > .user { background: var(--mine); border-radius: 12px; padding: 10px 16px; width: fit-content;
  max-width: min(640px, 86%); margin-right: max(0px, calc(50% - 380px)); white-space: pre-wrap;
  overflow-wrap: anywhere; }
.message.assistant { overflow-wrap: anywhere; }
.message.assistant > :first-child { margin-top: 0; }
.message p, .message ul, .message ol { margin: 0 0 12px; }
.message h2, .message h3, .message h4 { font-size: 17px; margin: 18px 0 8px; }
.message blockquote { margin: 0 0 12px; padding-left: 14px; border-left: 3px solid var(--rule);
  color: var(--muted); }
.message code { background: var(--code); border-radius: 5px; padding: 2px 5px;
  font: 14px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.code { margin: 0 0 14px; border: 1px solid var(--rule); border-radius: 10px; overflow: hidden; }
.code div { display: flex; justify-content: space-between; align-items: center; padding: 4px 6px 4px 14px;
  background: var(--card); border-bottom: 1px solid var(--rule); color: var(--muted); font-size: 13px; }
.code div button { padding: 2px 10px; font-size: 13px; }
.code pre { margin: 0; padding: 12px 14px; overflow-x: auto; background: var(--code); }
.code pre code { padding: 0; background: none; }
.message.waiting::after { content: "▍"; color: var(--accent); animation: blink 1s steps(2) infinite; }
@keyframes blink { 50% { opacity: 0; } }
.foot { display: flex; gap: 10px; align-items: center; color: var(--muted); font-size: 13px; min-height: 26px; }
.foot button { padding: 1px 9px; font-size: 13px; color: var(--muted); }
.error { color: var(--bad); }
form { padding: 0 16px 18px; }
form > div { max-width: 760px; margin: 0 auto; display: flex; gap: 8px; align-items: flex-end;
  border: 1px solid var(--rule); border-radius: 14px; background: var(--card); padding: 8px; }
form textarea { border: 0; background: none; resize: none; max-height: 40vh; }
form textarea:focus-visible { outline: none; }
form > div:focus-within { border-color: var(--accent); }
#send { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600;
  min-width: 74px; }
@media (max-width: 720px) {
  aside { position: fixed; inset: 0 auto 0 0; z-index: 1; transform: translateX(-100%);
    transition: transform .15s; }
  body.menu aside { transform: none; box-shadow: 0 0 40px #0006; }
  #menu { display: block; }
}
)css";

constexpr const char* kBody = R"html(
<aside>
  <h1>Argosy<small id="model"></small></h1>
  <button id="new">New conversation</button>
  <ul id="conversations" aria-label="Conversations"></ul>
</aside>
<main>
  <header>
    <button id="menu" aria-label="Conversations">☰</button>
    <span class="quiet" id="speed"></span>
    <button id="options" aria-expanded="false">Settings</button>
    <button id="theme" title="Colours: as the system, light, dark"></button>
  </header>
  <section id="settings" aria-label="Settings of this conversation">
    <label>System prompt<textarea id="system" rows="3" placeholder="As the model has it"></textarea></label>
    <label>Temperature <output id="warmth"></output>
      <input id="temperature" type="range" min="0" max="2" step="0.05"></label>
  </section>
  <div id="messages" aria-live="polite"></div>
  <form>
    <div>
      <textarea id="prompt" rows="1" placeholder="Write a message" aria-label="Message" autofocus></textarea>
      <button id="send">Send</button>
    </div>
  </form>
</main>
)html";

constexpr const char* kScript = R"js(
'use strict';
const at = id => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

// ---- conversations, kept in this browser

const kStore = 'argosy.conversations';
let conversations = [];
try { conversations = JSON.parse(localStorage.getItem(kStore)) || []; } catch {}
let current = null;            // the one that is shown
const running = new Map();     // conversation -> AbortController of its answer

function save() {
  for (;;) {
    try { localStorage.setItem(kStore, JSON.stringify(conversations)); return; }
    catch { if (conversations.length < 2) return; conversations.pop(); }  // full: the oldest goes
  }
}

function begin() {
  if (conversations[0] && !conversations[0].messages.length) return show(conversations[0]);
  const before = current || {};
  conversations.unshift({
    id: Date.now().toString(36) + Math.random().toString(36).slice(2), title: 'New conversation', messages: [],
    system: before.system || '', temperature: before.temperature ?? 0.7});
  save();
  show(conversations[0]);
}

function remove(conversation) {
  running.get(conversation)?.abort();
  conversations = conversations.filter(other => other !== conversation);
  save();
  if (conversation !== current) return list();
  if (conversations.length) show(conversations[0]); else begin();
}

function list() {
  at('conversations').replaceChildren(...conversations.map(conversation => {
    const item = make('li', conversation === current ? 'current' : '');
    const title = make('button', 'title', conversation.title);
    title.onclick = () => { show(conversation); document.body.classList.remove('menu'); };
    const cross = make('button', 'remove', '×');
    cross.setAttribute('aria-label', 'Delete ' + conversation.title);
    cross.onclick = () => remove(conversation);
    item.append(title, cross);
    return item;
  }));
}

// ---- text as a page: what models write of Markdown. No text is ever taken as HTML.

function inline(text, into) {
  const pattern = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*([^\s*](?:.*?[^\s*])?)\*|\[([^\]]+)\]\((https?:[^\s)]+)\)/g;
  let last = 0;
  for (const match of text.matchAll(pattern)) {
    into.append(text.slice(last, match.index));
    last = match.index + match[0].length;
    if (match[2] !== undefined) into.append(make('code', '', match[2]));
    else if (match[7] !== undefined) {
      const link = make('a', '', match[6]);
      link.href = match[7];
      link.target = '_blank';
      link.rel = 'noopener noreferrer';
      into.append(link);
    } else {
      const strong = match[3] ?? match[4];
      const element = make(strong !== undefined ? 'strong' : 'em');
      inline(strong ?? match[5], element);
      into.append(element);
    }
  }
  into.append(text.slice(last));
}

function codeBlock(language, lines) {
  const block = make('div', 'code'), bar = make('div'), pre = make('pre');
  const code = make('code', '', lines.join('\n')), copy = make('button', 'copy', 'Copy');
  copy.type = 'button';
  copy.onclick = async () => {
    try { await navigator.clipboard.writeText(code.textContent); }
    catch {  // where a page may not use the clipboard
      getSelection().selectAllChildren(code);
      document.execCommand('copy');
    }
    copy.textContent = 'Copied';
    setTimeout(() => copy.textContent = 'Copy', 1500);
  };
  bar.append(make('span', '', language || 'text'), copy);
  pre.append(code);
  block.append(bar, pre);
  return block;
}

function markdown(text, into) {
  into.replaceChildren();
  const lines = text.split('\n');
  let block = null, kind = '';
  const open = (tag, name) => {
    if (kind !== name) { block = make(tag); into.append(block); kind = name; }
    return block;
  };
  for (let i = 0; i < lines.length; ++i) {
    const line = lines[i];
    let match;
    if ((match = line.match(/^\s*(```+|~~~+)\s*([\w+#.-]*)/))) {
      const inner = [];
      while (++i < lines.length && !lines[i].trim().startsWith(match[1])) inner.push(lines[i]);
      into.append(codeBlock(match[2], inner));
      kind = '';
    } else if (!line.trim()) {
      kind = '';
    } else if ((match = line.match(/^(#{1,6})\s+(.*)/))) {
      kind = '';
      inline(match[2], open('h' + Math.min(4, match[1].length + 1), 'heading'));
      kind = '';
    } else if ((match = line.match(/^\s*[-*+]\s+(.*)/))) {
      const item = make('li');
      inline(match[1], item);
      open('ul', 'ul').append(item);
    } else if ((match = line.match(/^\s*(\d+)[.)]\s+(.*)/))) {
      const item = make('li');
      item.value = +match[1];
      inline(match[2], item);
      open('ol', 'ol').append(item);
    } else {
      const quote = line.match(/^>\s?(.*)/);
      const name = quote ? 'quote' : 'p';
      const more = kind === name;
      const paragraph = open(quote ? 'blockquote' : 'p', name);
      if (more) paragraph.append(make('br'));
      inline(quote ? quote[1] : line, paragraph);
    }
  }
}

// ---- the conversation that is shown

function atEnd() {
  const box = at('messages');
  return box.scrollHeight - box.scrollTop - box.clientHeight < 60;
}
function toEnd() { at('messages').scrollTop = at('messages').scrollHeight; }

function show(conversation) {
  current = conversation;
  at('system').value = conversation.system;
  at('temperature').value = conversation.temperature;
  at('warmth').textContent = conversation.temperature;
  list();
  const box = at('messages');
  box.replaceChildren();
  if (!conversation.messages.length)
    box.append(make('p', 'empty', 'Write a message to begin.'));
  for (const message of conversation.messages) box.append(bubble(message));
  refresh();
  toEnd();
  at('prompt').focus();
}

function bubble(message) {
  const element = make('div', 'message ' + message.role);
  if (message.role === 'user') element.textContent = message.content;
  else markdown(message.content, element);
  return element;
}

/// The button, and what stands below the last answer.
function refresh() {
  const busy = running.has(current);
  at('send').textContent = busy ? 'Stop' : 'Send';
  for (const old of at('messages').querySelectorAll('.foot')) old.remove();
  const last = current.messages.at(-1);
  const element = at('messages').lastElementChild;
  if (element && last?.role === 'assistant') element.classList.toggle('waiting', busy);
  if (busy || !current.messages.length) return;
  const foot = make('div', 'foot');
  if (last.error) foot.append(make('span', 'error', last.error));
  else if (last.note) foot.append(make('span', '', last.note));
  const again = make('button', 'again', 'Try again');
  again.onclick = () => {
    if (current.messages.at(-1).role === 'assistant') current.messages.pop();
    answer(current);
  };
  foot.append(again);
  at('messages').append(foot);
}

// ---- answers

async function* events(stream) {
  const decoder = new TextDecoder();
  let buffer = '';
  for (const reader = stream.getReader();;) {
    const {done, value} = await reader.read();
    if (done) return;
    buffer += decoder.decode(value, {stream: true});
    for (let end; (end = buffer.indexOf('\n\n')) >= 0; buffer = buffer.slice(end + 2)) {
      const event = buffer.slice(0, end);
      if (event.startsWith('data: ')) yield event.slice(6);
    }
  }
}

async function answer(conversation) {
  const controller = new AbortController();
  running.set(conversation, controller);
  const messages = conversation.messages.map(({role, content}) => ({role, content}));
  if (conversation.system) messages.unshift({role: 'system', content: conversation.system});
  const message = {role: 'assistant', content: ''};
  conversation.messages.push(message);
  if (conversation === current) show(conversation);
  let drawing = false;
  const draw = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      if (conversation !== current || conversation.messages.at(-1) !== message) return;
      const follow = atEnd();
      const shown = [...at('messages').querySelectorAll('.message')].at(-1);
      if (shown) markdown(message.content, shown);
      if (follow) toEnd();
    });
  };
  const began = performance.now();
  let first = 0, tokens = 0;
  try {
    const response = await fetch('v1/chat/completions', {
      method: 'POST', signal: controller.signal, headers: {'Content-Type': 'application/json'},
      body: JSON.stringify({messages, temperature: conversation.temperature, stream: true,
                            stream_options: {include_usage: true}})});
    if (!response.ok) {
      const reason = await response.json().catch(() => null);
      throw new Error(reason?.error?.message || 'the server answered ' + response.status);
    }
    for await (const data of events(response.body)) {
      if (data === '[DONE]') break;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      const text = chunk.choices[0]?.delta?.content;
      if (chunk.choices[0]?.finish_reason === 'length') message.note = 'The answer was cut at its limit. ';
      if (chunk.usage) tokens = chunk.usage.completion_tokens;
      if (!text) continue;
      first ||= performance.now();
      message.content += text;
      draw();
    }
    const seconds = (performance.now() - first) / 1000;
    if (tokens > 1)
      message.note = (message.note || '') + tokens + ' tokens, ' + ((tokens - 1) / seconds).toFixed(1) +
          ' per second, the first after ' + ((first - began) / 1000).toFixed(2) + ' s';
  } catch (error) {
    message.note = 'Stopped.';
    if (error.name !== 'AbortError') message.error = error.message;
  }
  running.delete(conversation);
  save();
  if (conversation === current) show(conversation);
}

function submit() {
  if (running.has(current)) return running.get(current).abort();
  const text = at('prompt').value.trim();
  if (!text) return;
  at('prompt').value = '';
  grow();
  if (current.messages.at(-1)?.role === 'user') current.messages.pop();  // its answer never came
  if (!current.messages.length) current.title = text.slice(0, 60);
  current.messages.push({role: 'user', content: text});
  conversations = [current, ...conversations.filter(other => other !== current)];
  save();
  answer(current);
}

function grow() {
  const box = at('prompt');
  box.style.height = 'auto';
  box.style.height = box.scrollHeight + 'px';
}

// ---- buttons

const kThemes = ['', 'light', 'dark'], kSigns = {'': '◐', light: '☀', dark: '☾'};
let theme = localStorage.getItem('argosy.theme') || '';
function colour() {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  at('theme').textContent = kSigns[theme];
  at('theme').setAttribute('aria-label', 'Colours: ' + (theme || 'as the system'));
}
at('theme').onclick = () => {
  theme = kThemes[(kThemes.indexOf(theme) + 1) % kThemes.length];
  localStorage.setItem('argosy.theme', theme);
  colour();
};
at('new').onclick = () => { begin(); document.body.classList.remove('menu'); };
at('menu').onclick = () => document.body.classList.toggle('menu');
at('options').onclick = () =>
  at('options').setAttribute('aria-expanded', at('settings').classList.toggle('open'));
at('system').oninput = () => { current.system = at('system').value; save(); };
at('temperature').oninput = () => {
  current.temperature = +at('temperature').value;
  at('warmth').textContent = current.temperature;
  save();
};
at('prompt').oninput = grow;
at('prompt').onkeydown = event => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!running.has(current)) submit();
};
addEventListener('keydown', event => {
  if (event.key === 'Escape') running.get(current)?.abort();
});
document.querySelector('form').onsubmit = event => { event.preventDefault(); submit(); };

colour();
if (conversations.length) show(conversations[0]); else begin();
fetch('v1/models').then(response => response.json())
  .then(models => { at('model').textContent = models.data[0].id; document.title = models.data[0].id; })
  .catch(() => { at('model').textContent = 'the model is loading'; });
)js";

}  // namespace

const std::string& chat_page() {
  static const std::string page =
      std::string(
          "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
          "<link rel=\"icon\" href=\"data:,\"><title>Argosy</title><style>") +
      kStyle + "</style></head><body>" + kBody + "<script>" + kScript + "</script></body></html>\n";
  return page;
}

}  // namespace argosy::serve

"""How the page looks, and its keys."""

import gradio as gr

CSS = """
.strip { display: flex; height: 14px; border-radius: 4px; overflow: hidden }
.state { font-weight: 600; margin: 4px 0 }
.told { margin: 2px 0; padding: 6px 10px; border-radius: 6px; border-left: 4px solid #2a8 }
.told.error { border-color: #d33; background: rgba(221, 51, 51, .12); font-weight: 600 }
.plan { width: 100%; border-collapse: collapse; margin: 0 0 6px }
.prose .plan th, .prose .plan td { text-align: left; padding: 4px 12px 4px 0; border: 0;
  border-bottom: 1px solid var(--border-color-primary); font-weight: 400 }
.prose .plan tr th:first-child, .prose .plan tr:first-child th { font-weight: 600 }
.prose .plan, .prose .plan tr { border: 0 }
.plan td + td { white-space: nowrap } .prose .plan .why { white-space: normal }
[id^=told-]:not(:has(p, .wrap:not(.hide))), :is(#tracking, #cleaning, #cuts, #facts,
#run-state):not(:has(p)), #strip:not(:has(i)) { display: none }
.plan .tight { color: #d33; font-weight: 600 }
.gradio-container:has(#view) #no-result { display: none }
#editor :is([aria-label="Clear canvas"], .half-container + .half-container) { display: none }
#cuts { margin-top: -12px }
#strip i { cursor: pointer }
#shell { max-height: 200px !important; overflow: auto; flex-grow: 0 !important }
#preview img { width: 100%; height: 100%; object-fit: contain; padding-top: 28px }
.note { opacity: .75; margin: 2px 0 } .case { margin: 2px 0 }
.gradio-container { width: 100% !important; max-width: 1180px !important; margin: auto }
"""

# Keys, unless somebody types: arrows change the frame, brackets the brush, space plays the
# result, and a click on the strip of confidence goes to its frame. What is painted is kept when the
# button is released. The share of the run that is done and
# the time left stand in the title.
HEAD = """
<script>
function change(where, step, from) {
  const number = document.querySelector(where + ' input[type=number]');
  if (!number) return;
  number.value = Math.min(+number.max, Math.max(+number.min, (from ?? +number.value) + step));
  number.dispatchEvent(new Event('input', {bubbles: true}));
  number.dispatchEvent(new Event('blur', {bubbles: true}));
}
// A stroke is kept before the frame changes, or it would be taken off with it.
addEventListener('click', event => {
  const cell = event.target.closest('#strip i');
  const number = cell && [...cell.parentNode.children].indexOf(cell);
  if (cell) whenKept(() => change('#frame', 0, number));
});
let painting = false, keeping = false;
function keep() {
  if (keeping !== 'waits') return;
  keeping = 'sends';
  document.querySelector('#keep')?.click();
}
function whenKept(act) {
  keep();
  keeping ? setTimeout(act, 300) : act();
}
addEventListener('keydown', event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest('input:not([type=range]), textarea, select, .cm-editor')) return;
  const moves = {
    ArrowLeft: ['#frame', -1], ArrowRight: ['#frame', 1], '[': ['#brush', -2], ']': ['#brush', 2],
  }[event.key];
  if (moves) {
    event.preventDefault();
    whenKept(() => change(...moves));
  }
  const video = document.querySelector('#result video');
  if (event.key === ' ' && video && !event.target.closest('button')) {
    event.preventDefault();
    video.paused ? video.play() : video.pause();
  }
});
addEventListener('pointerdown', event => {
  painting = !!event.target.closest('#editor');
  if (!painting) keep();
}, true);
addEventListener('pointerup', () => {
  if (painting) {
    keeping = 'waits';
    setTimeout(keep, 200);
  }
  painting = false;
}, true);
setInterval(() => {
  const state = document.querySelector('#run-state .state');
  const share = state ? state.dataset.title : '';
  document.title = share ? share + ' - vidprior' : 'vidprior';
}, 1000);
</script>
"""


def theme() -> gr.themes.Base:
    """Fonts of the machine: others would be asked from another server."""
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    return gr.themes.Base(font=sans, font_mono=mono)

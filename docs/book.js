// What the book's pages do beyond being read. mdBook takes this file for its own script, which Debian leaves out.
'use strict';

// Colours of code.
document.querySelectorAll('code[class*=language-]').forEach((code) => {
    if (window.hljs) {
        window.hljs.highlightBlock(code);
    }
});

// One of the three sheets of colours, which are all there at first.
const colour = () => {
    const has = (name) => document.documentElement.classList.contains(name);
    const dark = has('coal') || has('navy');
    document.getElementById('ayu-highlight-css').disabled = !has('ayu');
    document.getElementById('tomorrow-night-css').disabled = !dark;
    document.getElementById('highlight-css').disabled = dark || has('ayu');
};
colour();

// The contents stay as the reader left them.
const toggle = document.getElementById('sidebar-toggle-anchor');
toggle.addEventListener('change', () => {
    const state = toggle.checked ? 'visible' : 'hidden';
    document.documentElement.classList.remove('sidebar-visible', 'sidebar-hidden');
    document.documentElement.classList.add('sidebar-' + state);
    try {
        localStorage.setItem('mdbook-sidebar', state);
    } catch {
        // Without storage the choice holds for this page.
    }
});

// The menu of themes: its entries are named as the classes that they set.
const list = document.getElementById('theme-list');
document.getElementById('theme-toggle').addEventListener('click', () => {
    list.style.display = list.style.display === 'block' ? 'none' : 'block';
});
list.addEventListener('click', (event) => {
    const chosen = event.target.closest('.theme');
    if (!chosen) {
        return;
    }
    const names = [...list.querySelectorAll('.theme')].map((each) => each.id);
    document.documentElement.classList.remove(...names);
    document.documentElement.classList.add(chosen.id);
    colour();
    try {
        localStorage.setItem('mdbook-theme', chosen.id);
    } catch {
        // As above.
    }
    list.style.display = 'none';
});

// The arrow keys turn pages.
document.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) {
        return;
    }
    if (document.activeElement && document.activeElement.tagName === 'INPUT') {
        return;
    }
    const button = { ArrowRight: '.nav-chapters.next', ArrowLeft: '.nav-chapters.previous' }[event.key];
    const link = button && document.querySelector(button);
    if (link) {
        window.location.href = link.href;
    }
});

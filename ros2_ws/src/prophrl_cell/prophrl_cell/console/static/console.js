// The parts of the console that must be quick or local: the jog and its deadman, camera pictures, the player.
// Events are delegated from the document, so it does not matter when or how often the page is drawn.
"use strict";
(() => {
  const HEARTBEAT_MS = 20;
  const PICTURE_MS = 100;
  const RECONNECT_MS = 1000;
  const BACKLOG_BYTES = 4096; // more than this waiting in the socket: the link stalls, say nothing stale
  const AXES = ["x", "y", "z", "rx", "ry", "rz"];
  const KEYS = {
    KeyW: "+x", KeyS: "-x", KeyA: "+y", KeyD: "-y", KeyR: "+z", KeyF: "-z",
    KeyL: "+rx", KeyJ: "-rx", KeyI: "+ry", KeyK: "-ry", KeyQ: "+rz", KeyE: "-rz",
  };
  const $ = (id) => document.getElementById(id);

  // --- what the operator holds -------------------------------------------------------------------------------------
  const held = { space: false, deadman: new Set(), keys: new Map(), pads: new Map() };
  let toggles = 0, socket = null, heartbeats = null, answer = {};

  const deadman = () => held.space || held.deadman.size > 0;

  function axes() {
    const values = AXES.map(() => 0);
    for (const word of [...held.keys.values(), ...held.pads.values()]) {
      values[AXES.indexOf(word.slice(1))] += word[0] === "+" ? 1 : -1;
    }
    return values.map((v) => Math.max(-1, Math.min(1, v)));
  }

  function send(echo = false) { // whether it was said
    if (!socket || socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > BACKLOG_BYTES) return false;
    socket.send(JSON.stringify({
      t: performance.now(), deadman: deadman(), axes: axes(), toggles, echo,
      speed: Number($("jog-speed")?.value ?? 0) / 100,
      frame: document.querySelector("[data-frame].on")?.dataset.frame ?? "base",
    }));
    return true;
  }

  function beat(echo = false) { // goes on until the release was said: silence is none
    const said = send(echo);
    if (heartbeats === null && (deadman() || !said)) heartbeats = setInterval(beat, HEARTBEAT_MS);
    if (heartbeats !== null && said && !deadman()) { clearInterval(heartbeats); heartbeats = null; }
  }

  function changed() {
    beat(true);
    show();
  }

  function release() {
    const was = deadman();
    held.space = false;
    held.deadman.clear(); held.keys.clear(); held.pads.clear();
    if (was) changed(); else show();
  }

  function show() {
    const words = new Set([...held.keys.values(), ...held.pads.values()]);
    document.querySelectorAll("[data-axis]").forEach((e) => e.classList.toggle("on", words.has(e.dataset.axis)));
    const button = $("deadman");
    if (!button) return;
    button.classList.toggle("held", deadman());
    button.classList.toggle("live", deadman() && answer.you === true && answer.obeyed === true);
    const speed = $("jog-speed-text");
    speed.textContent = `${(speed.dataset.full * $("jog-speed").value / 100).toFixed(3)} m/s`;
    const status = $("jog-status");
    const open = socket?.readyState === WebSocket.OPEN;
    status.textContent = !open ? "no link: the jog is off"
      : answer.holder ? `${answer.holder} has the jog`
      : deadman() && !answer.you ? "let go once and hold again"
      : deadman() ? (answer.obeyed ? "you move the arm" : "you have the jog; the arm does not follow yet")
      : "hold the deadman to move";
    status.classList.toggle("taken", Boolean(answer.holder));
  }

  function toggleGripper() {
    if (!deadman()) return;
    toggles += 1;
    changed();
  }

  // --- keys ----------------------------------------------------------------------------------------------------------
  const typing = (e) => e.target.closest?.("input:not([type=range]), textarea, select, [contenteditable], .q-dialog, dialog");

  document.addEventListener("keydown", (e) => {
    if (e.code === "Enter" && e.target.matches?.("input") && !e.target.closest(".q-dialog")) e.target.blur(); // done typing: keys jog again
    if (typing(e) || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.code === "Space") {
      e.preventDefault(); // neither scrolls nor presses the focused button
      document.activeElement?.blur?.();
      if (!e.repeat) { held.space = true; changed(); }
    } else if (e.code in KEYS) {
      e.preventDefault();
      if (!e.repeat) { held.keys.set(e.code, KEYS[e.code]); changed(); }
    } else if (e.code === "KeyG" && !e.repeat) {
      toggleGripper();
    }
  }, true);

  document.addEventListener("keyup", (e) => {
    if (e.code === "Space" && held.space) { e.preventDefault(); held.space = false; changed(); }
    if (held.keys.delete(e.code)) changed();
  }, true);

  // --- pointers ------------------------------------------------------------------------------------------------------
  document.addEventListener("pointerdown", (e) => {
    const target = e.target.closest?.("#deadman, [data-axis]");
    if (!target) return;
    e.preventDefault();
    if (target.hasPointerCapture?.(e.pointerId)) target.releasePointerCapture(e.pointerId); // so that leaving is seen
    const kinds = ["pointerup", "pointercancel", "pointerleave", "pointermove"];
    const end = (event) => { // heard by the document, which outlives a redraw of the button
      if (event.pointerId !== e.pointerId) return;
      if (event.type === "pointerleave" && event.target !== target) return;
      if (event.type === "pointermove" && target.isConnected && target.contains(event.target)) return;
      for (const kind of kinds) document.removeEventListener(kind, end, true);
      held.deadman.delete(e.pointerId);
      held.pads.delete(e.pointerId);
      changed();
    };
    for (const kind of kinds) document.addEventListener(kind, end, true);
    if (target.id === "deadman") held.deadman.add(e.pointerId); else held.pads.set(e.pointerId, target.dataset.axis);
    changed();
  });
  document.addEventListener("contextmenu", (e) => { if (e.target.closest?.(".jog")) e.preventDefault(); });

  document.addEventListener("click", (e) => {
    const frame = e.target.closest?.("[data-frame]");
    if (frame) {
      document.querySelectorAll("[data-frame]").forEach((b) => b.classList.toggle("on", b === frame));
      changed();
    } else if (e.target.closest?.("#gripper-toggle")) {
      toggleGripper();
    } else if (e.target.closest?.("[data-play]")) {
      play(e.target.closest("[data-play]").dataset.play);
    } else if (e.target.closest?.("#player-close")) {
      $("player").close();
    }
  });

  document.addEventListener("input", (e) => {
    if (e.target.id === "jog-speed") changed();
  });

  // --- ways to lose the operator -------------------------------------------------------------------------------------
  window.addEventListener("blur", release);
  window.addEventListener("pagehide", release);
  document.addEventListener("visibilitychange", () => { if (document.hidden) release(); });

  // --- the socket ----------------------------------------------------------------------------------------------------
  function connect() {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/jog`);
    socket.onopen = () => { document.body.classList.remove("offline"); sayName(); changed(); };
    socket.onmessage = (e) => {
      answer = JSON.parse(e.data);
      show();
    };
    socket.onclose = () => {
      answer = {};
      document.body.classList.add("offline");
      release();
      setTimeout(connect, RECONNECT_MS);
    };
  }

  function sayName() {
    const name = localStorage.getItem("operator") ?? "";
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ name }));
  }
  window.operatorNamed = (name) => { localStorage.setItem("operator", name); sayName(); };

  // --- cameras -------------------------------------------------------------------------------------------------------
  async function picture(image) {
    const answer = await fetch(`/camera/${image.dataset.camera}.jpg`, { cache: "no-store" });
    const there = answer.status === 200;
    image.closest(".camera").classList.toggle("old", !there || Number(answer.headers.get("X-Age")) > 1.5);
    if (!there) return;
    const url = URL.createObjectURL(await answer.blob());
    const before = image.src;
    image.src = url;
    await image.decode().catch(() => {});
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  }

  async function watch() {
    for (;;) {
      const begun = performance.now();
      if (!document.hidden) {
        const images = [...document.querySelectorAll("img[data-camera]")];
        await Promise.all(images.map((image) => picture(image).catch(() => {})));
      }
      const left = (document.hidden ? 500 : PICTURE_MS) - (performance.now() - begun);
      await new Promise((done) => setTimeout(done, Math.max(10, left)));
    }
  }

  // --- playback ------------------------------------------------------------------------------------------------------
  function play(episode) {
    const player = $("player");
    $("player-title").textContent = episode;
    const status = $("player-status");
    status.textContent = "making the video…";
    player.querySelectorAll("video").forEach((video) => {
      video.onloadeddata = () => { status.textContent = ""; };
      video.onerror = () => { if (player.open) status.textContent = "this episode has no pictures that can be played"; };
      video.src = `/episodes/${encodeURIComponent(episode)}/${video.dataset.camera}.mp4`;
      video.play().catch(() => {});
    });
    player.show(); // not modal: the safety bar stays in reach
  }
  document.addEventListener("close", (e) => {
    if (e.target.id === "player") e.target.querySelectorAll("video").forEach((v) => { v.removeAttribute("src"); v.load(); });
  }, true);

  connect();
  watch();
})();

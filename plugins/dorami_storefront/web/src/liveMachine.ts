/**
 * What the live page shows, as a pure machine: facts come in as events, one of five snapshots comes out.
 * It holds no timer and touches no page, so its whole behaviour is a table (liveMachine.test.ts).
 */

export type StreamStatus = "PENDING" | "LIVE" | "INTERRUPTED" | "OFFLINE";

export type PlayerEvent =
  | "PLAY_OK"
  | "STALL"
  | "MEDIA_ERROR"
  | "STREAM_ENDED"
  | "STALL_RECOVERED"
  | "PROTOCOL_SWITCHED";

export type LiveEvent =
  | { type: PlayerEvent }
  | { type: "STATUS"; status: StreamStatus }
  | { type: "TYPING"; active: boolean };

export type Snapshot = "LIVE_NORMAL" | "LIVE_TYPING" | "RETRYING" | "NO_STREAM" | "ENDED";

/** What is known of the picture. `ended` is the end of the bytes; only the server says that the broadcast ended. */
export type Media = "starting" | "playing" | "stalled" | "failed" | "ended";

export interface LiveState {
  readonly status: StreamStatus;
  readonly media: Media;
  readonly typing: boolean;
}

export function initialState(status: StreamStatus): LiveState {
  return { status, media: "starting", typing: false };
}

const MEDIA_AFTER: Record<PlayerEvent, Media> = {
  PLAY_OK: "playing",
  STALL_RECOVERED: "playing",
  STALL: "stalled",
  MEDIA_ERROR: "failed",
  STREAM_ENDED: "ended",
  PROTOCOL_SWITCHED: "starting",
};

export function reduce(state: LiveState, event: LiveEvent): LiveState {
  switch (event.type) {
    case "STATUS":
      return event.status === state.status ? state : { ...state, status: event.status, media: mediaOn(event.status, state) };
    case "TYPING":
      return event.active === state.typing ? state : { ...state, typing: event.active };
    default: {
      // A stall before the first picture is still the start: nothing is shown that could be frozen.
      const media = event.type === "STALL" && state.media !== "playing" ? state.media : MEDIA_AFTER[event.type];
      return media === state.media ? state : { ...state, media };
    }
  }
}

/** A broadcast that comes back keeps its last frame until the player says that it plays again. */
function mediaOn(status: StreamStatus, before: LiveState): Media {
  if (status !== "LIVE") return before.media;
  return before.status === "INTERRUPTED" && before.media === "playing" ? "playing" : "starting";
}

export function snapshot(state: LiveState): Snapshot {
  if (state.status === "OFFLINE") return "ENDED";
  if (state.status === "PENDING") return "NO_STREAM";
  const broken = state.media === "stalled" || state.media === "failed" || state.media === "ended";
  if (state.status === "INTERRUPTED") {
    // The player may have seconds left in its buffer: they are shown, not covered.
    return broken || state.media === "starting" ? "RETRYING" : live(state);
  }
  return broken ? "RETRYING" : live(state);
}

function live(state: LiveState): Snapshot {
  return state.typing ? "LIVE_TYPING" : "LIVE_NORMAL";
}

export interface Layout {
  /** The player should run (or try to). */
  readonly play: boolean;
  readonly loading: boolean;
  readonly card: boolean;
  readonly chat: boolean;
  readonly notice: "none" | "retrying" | "waiting" | "ended";
}

/** What is on the page in each snapshot. The card makes room for the keyboard while somebody types. */
export function layout(state: LiveState): Layout {
  const shown = snapshot(state);
  return {
    play: shown !== "NO_STREAM" && shown !== "ENDED",
    loading: state.media === "starting" && (shown === "LIVE_NORMAL" || shown === "LIVE_TYPING"),
    card: shown !== "LIVE_TYPING" && !(state.typing && shown === "RETRYING"),
    chat: shown !== "ENDED",
    notice:
      shown === "RETRYING" ? "retrying" : shown === "NO_STREAM" ? "waiting" : shown === "ENDED" ? "ended" : "none",
  };
}

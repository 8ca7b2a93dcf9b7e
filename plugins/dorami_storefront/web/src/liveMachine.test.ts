import { describe, expect, it } from "vitest";
import { initialState, layout, type LiveEvent, type PlayerEvent, reduce, type Snapshot, snapshot, type StreamStatus } from "./liveMachine";

const status = (value: StreamStatus): LiveEvent => ({ type: "STATUS", status: value });
const player = (type: PlayerEvent): LiveEvent => ({ type });
const typing = (active: boolean): LiveEvent => ({ type: "TYPING", active });

const after = (start: StreamStatus, events: LiveEvent[]) => events.reduce(reduce, initialState(start));

const TABLE: [string, StreamStatus, LiveEvent[], Snapshot][] = [
  ["a planned broadcast", "PENDING", [], "NO_STREAM"],
  ["a planned one, somebody types", "PENDING", [typing(true)], "NO_STREAM"],
  ["it begins", "PENDING", [status("LIVE")], "LIVE_NORMAL"],
  ["it begins while somebody types", "PENDING", [typing(true), status("LIVE")], "LIVE_TYPING"],
  ["live, nothing seen yet", "LIVE", [], "LIVE_NORMAL"],
  ["live and playing", "LIVE", [player("PLAY_OK")], "LIVE_NORMAL"],
  ["typing", "LIVE", [player("PLAY_OK"), typing(true)], "LIVE_TYPING"],
  ["typed", "LIVE", [player("PLAY_OK"), typing(true), typing(false)], "LIVE_NORMAL"],
  ["a stall", "LIVE", [player("PLAY_OK"), player("STALL")], "RETRYING"],
  ["a stall before the first picture is the start", "LIVE", [player("STALL")], "LIVE_NORMAL"],
  ["a stall that passed", "LIVE", [player("PLAY_OK"), player("STALL"), player("STALL_RECOVERED")], "LIVE_NORMAL"],
  ["a stall while typing", "LIVE", [player("PLAY_OK"), typing(true), player("STALL")], "RETRYING"],
  ["and it comes back to the typing", "LIVE", [player("PLAY_OK"), typing(true), player("STALL"), player("PLAY_OK")], "LIVE_TYPING"],
  ["an error", "LIVE", [player("PLAY_OK"), player("MEDIA_ERROR")], "RETRYING"],
  ["the other protocol is tried", "LIVE", [player("MEDIA_ERROR"), player("PROTOCOL_SWITCHED")], "LIVE_NORMAL"],
  ["and plays", "LIVE", [player("MEDIA_ERROR"), player("PROTOCOL_SWITCHED"), player("PLAY_OK")], "LIVE_NORMAL"],
  ["the bytes end, the broadcast has not", "LIVE", [player("PLAY_OK"), player("STREAM_ENDED")], "RETRYING"],
  ["the publisher is gone, the buffer plays", "LIVE", [player("PLAY_OK"), status("INTERRUPTED")], "LIVE_NORMAL"],
  ["then it is empty", "LIVE", [player("PLAY_OK"), status("INTERRUPTED"), player("STALL")], "RETRYING"],
  ["somebody comes during the interruption", "INTERRUPTED", [], "RETRYING"],
  ["the publisher is back", "INTERRUPTED", [status("LIVE")], "LIVE_NORMAL"],
  ["back before the buffer was empty", "LIVE", [player("PLAY_OK"), status("INTERRUPTED"), status("LIVE")], "LIVE_NORMAL"],
  ["it ended", "LIVE", [player("PLAY_OK"), status("OFFLINE")], "ENDED"],
  ["it ended, the player goes on a little", "LIVE", [status("OFFLINE"), player("PLAY_OK"), player("STALL")], "ENDED"],
  ["it ended after an interruption", "INTERRUPTED", [status("OFFLINE")], "ENDED"],
  ["a new session of the same key", "OFFLINE", [status("LIVE"), player("PLAY_OK")], "LIVE_NORMAL"],
];

describe("what the live page shows", () => {
  it.each(TABLE)("%s", (_, start, events, expected) => {
    expect(snapshot(after(start, events))).toBe(expected);
  });

  it("answers the same object where nothing changed", () => {
    const state = after("LIVE", [player("PLAY_OK")]);
    expect(reduce(state, player("PLAY_OK"))).toBe(state);
    expect(reduce(state, status("LIVE"))).toBe(state);
    expect(reduce(state, typing(false))).toBe(state);
  });

  it("says what is on the page", () => {
    expect(layout(initialState("PENDING"))).toMatchObject({ play: false, chat: true, notice: "waiting", loading: false });
    expect(layout(initialState("LIVE"))).toMatchObject({ play: true, loading: true, card: true, notice: "none" });
    expect(layout(after("LIVE", [player("PLAY_OK")]))).toMatchObject({ loading: false });
    expect(layout(after("LIVE", [player("PLAY_OK"), typing(true)]))).toMatchObject({ card: false });
    expect(layout(after("LIVE", [player("PLAY_OK"), player("STALL")]))).toMatchObject({ play: true, card: true, notice: "retrying" });
    expect(layout(initialState("OFFLINE"))).toMatchObject({ play: false, chat: false, notice: "ended" });
  });
});

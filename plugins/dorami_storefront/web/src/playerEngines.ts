/** The two player libraries behind one small shape. Both are loaded only when a broadcast is to be played. */

export type Protocol = "flv" | "hls";

export interface Engine {
  close(): void;
}

export interface EngineEvents {
  ended(): void;
  failed(): void;
}

function hasMediaSource(): boolean {
  return typeof MediaSource !== "undefined" && MediaSource.isTypeSupported('video/mp4; codecs="avc1.42E01E,mp4a.40.2"');
}

function hasNativeHls(): boolean {
  return document.createElement("video").canPlayType("application/vnd.apple.mpegurl") !== "";
}

/** A feature test that loads nothing: FLV needs Media Source and streaming fetch, HLS Media Source or a phone's own. */
export function supports(protocol: Protocol): boolean {
  if (protocol === "hls") return hasNativeHls() || hasMediaSource() || "ManagedMediaSource" in window;
  return hasMediaSource() && typeof ReadableStream !== "undefined" && typeof Response !== "undefined";
}

export async function openFlv(video: HTMLVideoElement, url: string, events: EngineEvents): Promise<Engine> {
  const { default: mpegts } = await import("mpegts.js");
  mpegts.LoggingControl.applyConfig({ enableAll: false });
  const player = mpegts.createPlayer(
    { type: "flv", isLive: true, url, cors: true },
    {
      enableWorker: false,
      enableStashBuffer: false,
      lazyLoad: false,
      liveBufferLatencyChasing: true,
      liveBufferLatencyChasingOnPaused: false,
      liveBufferLatencyMaxLatency: 2.5,
      liveBufferLatencyMinRemain: 0.5,
      autoCleanupSourceBuffer: true,
      autoCleanupMaxBackwardDuration: 30,
      autoCleanupMinBackwardDuration: 15,
    },
  );
  player.on(mpegts.Events.ERROR, () => events.failed());
  player.on(mpegts.Events.LOADING_COMPLETE, () => events.ended());
  player.attachMediaElement(video);
  player.load();
  return { close: () => player.destroy() };
}

/** Goes on for two minutes and more: longer than a broadcast waits for its seller. */
const patient = {
  maxTimeToFirstByteMs: 10_000,
  maxLoadTimeMs: 20_000,
  timeoutRetry: { maxNumRetry: 20, retryDelayMs: 0, maxRetryDelayMs: 0 },
  errorRetry: { maxNumRetry: 200, retryDelayMs: 250, maxRetryDelayMs: 1000 },
};

export async function openHls(video: HTMLVideoElement, url: string, events: EngineEvents): Promise<Engine> {
  if (!hasMediaSource() && hasNativeHls()) return openNative(video, url, events);
  const { default: Hls } = await import("hls.js/light");
  const hls = new Hls({
    enableWorker: false,
    // How far behind live it plays is what the playlist says: PART-HOLD-BACK, or HOLD-BACK where there are no parts.
    lowLatencyMode: true,
    // After a stall so much further behind, up to a segment: the library's own second would be all that parts win.
    liveSyncOnStallIncrease: 0.3,
    maxLiveSyncPlaybackRate: 1.1,
    // While the seller is away reloads and parts are refused after a few seconds; the page says when it is over.
    playlistLoadPolicy: { default: patient },
    fragLoadPolicy: { default: patient },
    manifestLoadPolicy: {
      default: {
        maxTimeToFirstByteMs: 4000,
        maxLoadTimeMs: 8000,
        timeoutRetry: { maxNumRetry: 2, retryDelayMs: 300, maxRetryDelayMs: 1000 },
        // The first playlist of a new broadcast is there after its first segment.
        errorRetry: { maxNumRetry: 8, retryDelayMs: 400, maxRetryDelayMs: 1500 },
      },
    },
  });
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (data.fatal) events.failed();
  });
  // A little late it plays faster, where there are parts; later than that, as after a slow start, it leaps.
  hls.on(Hls.Events.LEVEL_UPDATED, (_, { details: { partHoldBack, holdBack, targetduration } }) => {
    hls.config.liveMaxLatencyDuration = (partHoldBack ? 2 * partHoldBack : holdBack || 3 * targetduration) + targetduration;
  });
  // A playlist that gets its end mark is a broadcast that closed its file.
  hls.on(Hls.Events.BUFFER_EOS, () => events.ended());
  hls.loadSource(url);
  hls.attachMedia(video);
  return { close: () => hls.destroy() };
}

function openNative(video: HTMLVideoElement, url: string, events: EngineEvents): Engine {
  const failed = () => events.failed();
  const ended = () => events.ended();
  video.addEventListener("error", failed);
  video.addEventListener("ended", ended);
  video.src = url;
  return {
    close() {
      video.removeEventListener("error", failed);
      video.removeEventListener("ended", ended);
      video.removeAttribute("src");
      video.load();
    },
  };
}

// The distribution point's API: requests, and its streams of news.

/** What the API answered instead of what was asked for. */
export class ApiError extends Error {
  constructor(status, message, help) {
    super(message);
    this.status = status;
    this.help = help;
  }
}

/** A stream is taken to be dead when it was silent for so long: the server says something every 15 s. */
const SILENCE_LIMIT = 25_000;
/** An answer that has not begun by then does not come. */
const ANSWER_LIMIT = 20_000;

/** The API at this page's own address, with one token. */
export class Api {
  constructor(token) {
    this.token = token;
  }

  get(path) {
    return this.ask('GET', path);
  }

  post(path, body) {
    return this.ask('POST', path, body);
  }

  put(path, body) {
    return this.ask('PUT', path, body);
  }

  delete(path) {
    return this.ask('DELETE', path);
  }

  async ask(method, path, body) {
    const headers = this.headers();
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const response = await send(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      signal: AbortSignal.timeout(ANSWER_LIMIT),
    });
    if (!response.ok) throw await refusal(response);
    return response.json();
  }

  /**
   * Reads server-sent events until the stream ends or `signal` says stop; `hear(name, data)` gets each.
   * Not an EventSource, which cannot send a token.
   */
  async stream(path, hear, signal) {
    const silence = new AbortController();
    let alarm = setTimeout(() => silence.abort(), SILENCE_LIMIT);
    const either = AbortSignal.any([signal, silence.signal]);
    try {
      const response = await send(path, { headers: this.headers(), cache: 'no-store', signal: either });
      if (!response.ok) throw await refusal(response);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser(hear);
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(alarm);
        alarm = setTimeout(() => silence.abort(), SILENCE_LIMIT);
        parser.push(value);
      }
    } catch (error) {
      if (silence.signal.aborted) throw new ApiError(0, 'the server was silent for too long');
      throw error instanceof ApiError ? error : new ApiError(0, 'the connection to the server is lost');
    } finally {
      clearTimeout(alarm);
    }
  }

  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new ApiError(0, 'the server does not answer');
  }
}

async function refusal(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // Not in the API's own words.
  }
  return new ApiError(response.status, problem.error ?? `the server answered ${response.status}`, problem.help);
}

/** Takes a text/event-stream apart, in pieces of any length. */
export class EventParser {
  constructor(hear) {
    this.hear = hear;
    this.rest = '';
    this.name = 'message';
    this.data = [];
  }

  push(text) {
    const lines = (this.rest + text).split(/\r?\n/);
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
  }

  line(line) {
    if (line === '') {
      if (this.data.length > 0) this.hear(this.name, this.data.join('\n'));
      this.name = 'message';
      this.data = [];
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.name = value;
    if (field === 'data') this.data.push(value);
  }
}

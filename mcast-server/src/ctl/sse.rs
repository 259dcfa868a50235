//! Server-sent events, out of whatever pieces the network makes of them (WHATWG HTML §9.2.6).

/// Bytes that a message may have: the pictures of some thousand sessions.
const LIMIT: usize = 16 << 20;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// `message` if the server gives it no name.
    pub(super) event: String,
    pub(super) data: String,
}

/// A message that does not end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message has more than {} MiB", LIMIT >> 20)]
pub(super) struct TooLong;

/// Puts messages together.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Of the line that is not yet at its end.
    line: Vec<u8>,
    event: String,
    data: Option<String>,
    /// A line ended with a carriage return: a line feed may belong to that.
    returned: bool,
    begun: bool,
}

impl Decoder {
    /// Takes the next piece, and gives the messages that are whole now.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut messages = Vec::new();
        for &byte in piece {
            let after_return = std::mem::take(&mut self.returned);
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    self.returned = byte == b'\r';
                    messages.extend(self.end_line());
                }
                byte => self.line.push(byte),
            }
            if self.line.len() + self.data.as_ref().map_or(0, String::len) > LIMIT {
                return Err(TooLong);
            }
        }
        Ok(messages)
    }

    /// A line is whole: an empty one ends a message.
    fn end_line(&mut self) -> Option<Message> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let mark = if self.begun { None } else { text.strip_prefix('\u{FEFF}') };
        let line = mark.unwrap_or(&text);
        self.begun = true;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            let event = if event.is_empty() { "message".to_owned() } else { event };
            return Some(Message { event, data: self.data.take()? });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event = value.to_owned(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments, which only say that the server lives; and fields that nobody needs here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<(String, String)> {
        let mut decoder = Decoder::default();
        let messages = pieces.into_iter().flat_map(|piece| decoder.feed(piece.as_ref()).unwrap());
        messages.map(|message| (message.event, message.data)).collect()
    }

    fn pair(event: &str, data: &str) -> (String, String) {
        (event.to_owned(), data.to_owned())
    }

    const STREAM: &str = "\u{FEFF}event: sessions\r\ndata: {\"a\":\"ü\"}\r\n\r\n: alive\n\nid: 7\nretry: 3\ndata:one\n\
                          data:  two\ndata\n\nevent: event\rdata: x\r\revent: lost\n\ndata: last\n\ndata: unfinished\n";

    fn whole() -> Vec<(String, String)> {
        vec![
            pair("sessions", "{\"a\":\"ü\"}"),
            pair("message", "one\n two\n"),
            pair("event", "x"),
            pair("message", "last"),
        ]
    }

    #[test]
    fn messages_are_read_with_each_kind_of_line_end_and_comments_are_none() {
        assert_eq!(all([STREAM]), whole());
    }

    #[test]
    fn it_does_not_matter_where_the_network_splits_them() {
        let bytes = STREAM.as_bytes();
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            assert_eq!(all([first, second]), whole(), "split at {split}");
        }
        for size in 1..20 {
            assert_eq!(all(bytes.chunks(size)), whole(), "pieces of {size}");
        }
    }

    #[test]
    fn a_message_that_does_not_end_is_an_error() {
        let mut decoder = Decoder::default();
        let piece = vec![b'a'; 1 << 20];
        let fed = (0..17).map(|_| decoder.feed(&piece)).collect::<Vec<_>>();
        assert_eq!(fed.iter().filter(|result| result.is_ok()).count(), 16);
        assert_eq!(decoder.feed(b"x"), Err(TooLong));
        let mut lines = Decoder::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert!((0..17).any(|_| lines.feed(&line).is_err()));
    }
}

//! The journal of systemd, in its native protocol: a datagram an entry, made of fields.
//!
//! As in the text form, an entry's message ends in what belongs to it (`image is ready image=lab.img`), since that is
//! all that `journalctl` shows; the same stands in fields of their own (`MCAST_IMAGE`), by which it selects.
//! See <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::fmt::{self, Write};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where it listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// Under which name it has what this program logs, whatever the file is called.
const IDENTIFIER: &str = "mcast-server";
/// What stands before the names of our fields.
const PREFIX: &str = "MCAST_";
/// Bytes of a value that are kept: an entry must fit into a datagram.
const VALUE_LIMIT: usize = 16 << 10;

/// Writes entries.
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Fails where no journal listens.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let journal = Self { socket: UnixDatagram::unbound()?, path: path.to_owned() };
        // An entry of nothing, which is no entry.
        journal.send(&[])?;
        Ok(journal)
    }

    /// By name each time: the journal may have been started anew.
    fn send(&self, entry: &[u8]) -> io::Result<usize> {
        self.socket.send_to(entry, &self.path)
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let metadata = event.metadata();
        let mut entry = Vec::new();
        put(&mut entry, "MESSAGE", &said.line());
        put(&mut entry, "PRIORITY", priority(*metadata.level()));
        put(&mut entry, "SYSLOG_IDENTIFIER", IDENTIFIER);
        put(&mut entry, &format!("{PREFIX}TARGET"), metadata.target());
        for (name, value) in &said.fields {
            put(&mut entry, &format!("{PREFIX}{}", upper(name)), value);
        }
        // There is nowhere left to complain.
        let _ = self.send(&entry);
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    /// The message, and behind it the fields.
    fn line(&self) -> String {
        let mut line = self.message.clone();
        for (name, value) in &self.fields {
            let is_plain =
                !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
            // Writing to a String does not fail.
            let _ = if is_plain { write!(line, " {name}={value}") } else { write!(line, " {name}={value:?}") };
        }
        line
    }

    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

/// As syslog numbers them.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// The journal takes capitals, digits and underscores.
fn upper(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// A field: its name, the length of its value in eight bytes, the value. So nothing in it can be taken for another.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    let value = &value[..value.floor_char_boundary(VALUE_LIMIT)];
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tracing::{debug, info};
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The fields of an entry, read as the journal reads them.
    fn read(mut entry: &[u8]) -> HashMap<String, String> {
        let mut fields = HashMap::new();
        while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
            let (name, rest) = (String::from_utf8(entry[..end].to_vec()).unwrap(), &entry[end + 1..]);
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let value = String::from_utf8(rest[8..8 + length].to_vec()).unwrap();
            assert_eq!(rest[8 + length], b'\n');
            assert!(fields.insert(name, value).is_none());
            entry = &rest[9 + length..];
        }
        assert!(entry.is_empty());
        fields
    }

    #[test]
    fn an_entry_says_all_in_its_message_and_again_in_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let listener = UnixDatagram::bind(&path).unwrap();
        let subscriber = Registry::default().with(Journal::open(&path).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            info!(image = "lab.img", host = "a b\nPRIORITY=0", client.blocks = 7, "client {} joined", 3);
            debug!("{}", "x".repeat(3 * VALUE_LIMIT));
        });
        let receive = || {
            let mut buffer = vec![0; 1 << 18];
            let length = listener.recv(&mut buffer).unwrap();
            read(&buffer[..length])
        };
        assert!(receive().is_empty(), "the first one only asks whether somebody listens");
        let entry = receive();
        assert_eq!(entry["MESSAGE"], r#"client 3 joined image=lab.img host="a b\nPRIORITY=0" client.blocks=7"#);
        assert_eq!((&entry["PRIORITY"][..], &entry["SYSLOG_IDENTIFIER"][..]), ("6", "mcast-server"));
        assert_eq!((&entry["MCAST_IMAGE"][..], &entry["MCAST_CLIENT_BLOCKS"][..]), ("lab.img", "7"));
        assert_eq!(entry["MCAST_HOST"], "a b\nPRIORITY=0");
        assert!(entry["MCAST_TARGET"].ends_with("journal::tests"), "{entry:?}");
        let long = receive();
        assert_eq!((long["MESSAGE"].len(), &long["PRIORITY"][..]), (VALUE_LIMIT, "7"));
    }

    #[test]
    fn where_nobody_listens_there_is_no_journal() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Journal::open(&folder.path().join("none")).is_err());
        let path = folder.path().join("left");
        drop(UnixDatagram::bind(&path).unwrap());
        assert!(Journal::open(&path).is_err(), "what a journal that has gone left behind");
    }
}

//! HTTP as it is on the wire: nothing is hidden, and nothing that is wrong is made good.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Asks on a connection of its own. A body that is shorter than promised is an error.
pub fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    let mut stream = connect(to)?;
    // A server that refuses may not wait for all of it.
    let _ = stream.write_all(&[text.as_bytes(), body].concat());
    answer(&mut BufReader::new(stream), method == "HEAD")
}

pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Reads one answer.
pub fn answer(from: &mut impl BufRead, head_only: bool) -> io::Result<Answer> {
    let (status, headers) = head(from)?;
    let mut answer = Answer { status, headers, body: Vec::new() };
    let length = answer.header("content-length").map(|length| length.parse::<usize>().unwrap());
    if head_only || matches!(status, 204 | 304) {
        return Ok(answer);
    }
    if answer.header("transfer-encoding").is_some() {
        while let Some(chunk) = chunk(from)? {
            answer.body.extend(chunk);
        }
    } else if let Some(length) = length {
        answer.body.resize(length, 0);
        from.read_exact(&mut answer.body)?;
    } else {
        from.read_to_end(&mut answer.body)?;
    }
    Ok(answer)
}

/// Reads status and headers.
pub fn head(from: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let first = line(from)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no status in {first:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = line(from)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn chunk(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let length = usize::from_str_radix(&line(from)?, 16).unwrap();
    let mut chunk = vec![0; length + 2];
    from.read_exact(&mut chunk)?;
    chunk.truncate(length);
    Ok((length > 0).then_some(chunk))
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A stream of server-sent events (HTML standard §9.2), each as its name and its data.
pub struct Events {
    from: BufReader<TcpStream>,
    text: String,
}

impl Events {
    pub fn open(to: SocketAddr, path: &str, token: &str) -> Self {
        let mut stream = connect(to).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
        let mut from = BufReader::new(stream);
        let (status, headers) = head(&mut from).unwrap();
        assert_eq!(status, 200);
        let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")).unwrap();
        assert_eq!(kind.1, "text/event-stream");
        Self { from, text: String::new() }
    }

    /// The next message, or none if the stream has ended well.
    pub fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let message = parse(message);
                self.text = rest.to_owned();
                match message {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            self.text += std::str::from_utf8(&chunk(&mut self.from).unwrap()?).unwrap();
        }
    }

    /// The next message of this name, as JSON.
    pub fn next_of(&mut self, name: &str) -> Value {
        loop {
            let (other, data) = self.next().unwrap_or_else(|| panic!("no {name} any more"));
            if other == name {
                return serde_json::from_str(&data).unwrap();
            }
        }
    }
}

/// None for a comment.
fn parse(message: &str) -> Option<(String, String)> {
    let (mut name, mut data) = (None, None::<String>);
    for line in message.lines() {
        match line.split_once(':') {
            Some(("event", value)) => name = Some(value.trim_start().to_owned()),
            Some(("data", value)) => data.get_or_insert_default().push_str(value.trim_start()),
            Some(("", _)) => {}
            _ => panic!("no line of a message: {line:?}"),
        }
    }
    Some((name?, data?))
}

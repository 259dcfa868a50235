//! A small HTTP server of one image, and what goes wrong with it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The bytes asked for, both ends included.
    pub fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.header("range").strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}

/// What becomes of a request.
pub enum Fault {
    No,
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// Nothing comes any more after so many bytes of the body.
    Hang(usize),
    /// An answer without a body: its status line and a header.
    Status(&'static str, &'static str),
}

/// What the server has.
pub struct Content {
    pub name: &'static str,
    pub manifest: Vec<u8>,
    pub image: Vec<u8>,
    /// Status and body of what a machine hears that says hello.
    pub hello: Option<(&'static str, &'static str)>,
}

/// Runs until the test's process ends.
pub struct HttpServer {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
}

/// Both ends of a connection, with or without TLS.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

type Decide = Box<dyn FnMut(&Request) -> Fault + Send>;

impl HttpServer {
    /// `fault` says what becomes of each request for bytes.
    pub fn start(content: Content, fault: impl FnMut(&Request) -> Fault + Send + 'static) -> Self {
        Self::start_over(content, fault, |stream| Box::new(stream))
    }

    /// The same over what `wrap` makes of a connection.
    pub fn start_over(
        content: Content,
        fault: impl FnMut(&Request) -> Fault + Send + 'static,
        wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let served = (Arc::new(content), log.clone(), Arc::new(Mutex::new(Box::new(fault) as Decide)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (stream, (content, log, fault)) = (wrap(stream), served.clone());
                // A client that breaks off ends its connection's thread.
                std::thread::spawn(move || serve(stream, &content, &log, &fault));
            }
        });
        Self { address, log }
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// Bytes of the image that were asked for so far.
    pub fn bytes_asked(&self) -> usize {
        self.requests().iter().filter_map(Request::range).map(|(first, last)| last + 1 - first).sum()
    }
}

/// Answers the requests of one connection; `None` at its end.
fn serve(stream: Box<dyn Stream>, content: &Content, log: &Mutex<Vec<Request>>, fault: &Mutex<Decide>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = read(&mut stream)?;
        log.lock().unwrap().push(request.clone());
        let path = format!("/content/images/{}", content.name);
        let (status, header, body) = if request.path == format!("{path}/manifest") {
            ("200 OK", String::new(), &content.manifest[..])
        } else if request.path == path && request.method == "HEAD" {
            ("200 OK", String::new(), &[][..])
        } else if let Some((first, last)) = request.range().filter(|_| request.path == path) {
            let range = format!("Content-Range: bytes {first}-{last}/{}\r\nETag: \"one\"\r\n", content.image.len());
            ("206 Partial Content", range, content.image.get(first..=last)?)
        } else if let Some((status, answer)) = content.hello.filter(|_| request.path == "/pxe/v1/hello") {
            (status, String::new(), answer.as_bytes())
        } else {
            ("404 Not Found", String::new(), &[][..])
        };
        let fault = if request.range().is_some() { fault.lock().unwrap()(&request) } else { Fault::No };
        if let Fault::Status(status, header) = fault {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{header}\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).ok()?;
            continue;
        }
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{header}\r\n", body.len());
        stream.get_mut().write_all(head.as_bytes()).ok()?;
        let sent = match fault {
            Fault::Cut(len) | Fault::Hang(len) => &body[..len.min(body.len())],
            _ => body,
        };
        stream.get_mut().write_all(sent).ok()?;
        stream.get_mut().flush().ok()?;
        match fault {
            Fault::Cut(_) => return None,
            Fault::Hang(_) => std::thread::sleep(Duration::from_secs(300)),
            _ => {}
        }
    }
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|len| *len > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

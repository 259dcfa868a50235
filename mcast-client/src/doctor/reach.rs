//! What of the server can be reached by TCP.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use multicast_core::doctor::{Finding, judge};
use multicast_core::engine::{Inquired, inquire};
use multicast_core::types::ClientId;

const PATIENCE: Duration = Duration::from_secs(2);
const TEST: &str = "HTTP";

/// Whether the host answers anything: a connection, or that there is none.
pub(super) fn host_answers(server: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&server, PATIENCE) {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset),
    }
}

/// Whether the server's content for single clients can be reached, if it has any.
pub(super) fn http(server: SocketAddr, client: ClientId) -> Finding {
    match inquire(server, client, "", PATIENCE) {
        Ok(Inquired::Told { content: Some(content), .. }) => {
            let address = SocketAddr::new(server.ip(), content.port);
            let begun = Instant::now();
            let reached = TcpStream::connect_timeout(&address, PATIENCE).map(drop).map_err(|error| error.kind());
            judge_http(address, content.tls.is_some(), reached.map(|()| begun.elapsed()))
        }
        Ok(Inquired::Told { content: None, .. }) => Finding::ok(TEST, "the server offers none, and none is needed"),
        Ok(Inquired::Silence) => Finding::untested(TEST, "the server does not say whether it serves by HTTP, too"),
        Err(error) => Finding::untested(TEST, error.to_string()),
    }
}

fn judge_http(address: SocketAddr, tls: bool, reached: Result<Duration, ErrorKind>) -> Finding {
    let scheme = if tls { "https" } else { "http" };
    match reached {
        Ok(time) => Finding::ok(TEST, format!("TCP {address} ({scheme}) accepts after {}", judge::span(time))),
        // Multicast goes without; only what falls back on it does not.
        Err(kind) => Finding::warning(
            TEST,
            format!("TCP {address} ({scheme}) does not accept: {kind}"),
            format!(
                "let TCP {} pass: who hears no multicast fetches there\nor have the server listen beyond loopback \
                 (http.listen)",
                address.port()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use multicast_core::doctor::Outcome;

    use super::*;

    #[test]
    fn a_host_that_refuses_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(host_answers(address));
        drop(listener);
        assert!(host_answers(address));
    }

    #[test]
    fn http_that_is_blocked_is_a_warning_since_multicast_goes_without() {
        let address = SocketAddr::from(([10, 0, 0, 1], 8095));
        let finding = judge_http(address, true, Err(ErrorKind::TimedOut));
        assert_eq!(finding.outcome, Outcome::Warning);
        assert_eq!(finding.seen, "TCP 10.0.0.1:8095 (https) does not accept: timed out");
        let finding = judge_http(address, false, Ok(Duration::from_millis(20)));
        assert_eq!((finding.outcome, &*finding.seen), (Outcome::Ok, "TCP 10.0.0.1:8095 (http) accepts after 20 ms"));
    }
}

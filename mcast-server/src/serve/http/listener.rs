//! Connections: how long they may take to say something, and TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tower::Service;
use tracing::{debug, warn};

use super::connections::{Connections, Place};

/// A TLS handshake, and a request's headers, may take so long; so may silence between two requests.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const HEADERS_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's headers at most.
const HEADERS_BYTES: usize = 16 << 10;
/// After the system had no descriptor left for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Between two words about it.
const TOLD_INTERVAL: Duration = Duration::from_secs(60);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Where to listen and what may come in.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// What TLS begins with; a renewed certificate comes by a reload.
    pub(crate) tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    /// Which may be shared with other listeners.
    pub(crate) connections: Arc<Connections>,
}

impl Listener {
    /// Binds `address`.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let socket =
            if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }

    /// Serves `router` until `stop` says true; ends when the requests that are under way then are answered. Dropping
    /// it breaks them off.
    pub(crate) async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let mut told = None;
        let mut open = JoinSet::new();
        loop {
            // Those that have ended.
            while open.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = self.accept(&mut told) => accepted,
                () = stops(&mut stop) => break,
            };
            let Some((stream, peer, place)) = accepted else { continue };
            let tls = self.tls.as_ref().map(|config| TlsAcceptor::from(config.borrow().clone()));
            let (router, stop) = (router.clone(), stop.clone());
            open.spawn(async move {
                let place = Arc::new(place);
                tokio::select! {
                    () = answer(stream, peer, tls, place.clone(), router, stop) => {}
                    () = place.dismissed() => debug!(%peer, "connection makes room for another one"),
                }
            });
        }
        // Nobody is to find the port open who would not be answered.
        drop(self);
        while open.join_next().await.is_some() {}
    }

    /// The next connection, once there is room for it.
    async fn accept(&self, told: &mut Option<Instant>) -> Option<(TcpStream, SocketAddr, Place)> {
        match self.socket.accept().await {
            Ok((stream, peer)) => {
                let place = self.connections.place().await?;
                // Answers are small, or long and filled at once.
                let _ = stream.set_nodelay(true);
                Some((stream, peer, place))
            }
            Err(error) => {
                if told.is_none_or(|told| told.elapsed() >= TOLD_INTERVAL) {
                    warn!("cannot accept a connection: {error}");
                    *told = Some(Instant::now());
                }
                self.connections.dismiss_waiting();
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                None
            }
        }
    }
}

/// A connection, through TLS if that is spoken here.
async fn answer(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    place: Arc<Place>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let Some(tls) = tls else { return converse(stream, peer, place, router, stop).await };
    let greeted = tokio::select! {
        greeted = timeout(HANDSHAKE_LIMIT, tls.accept(stream)) => greeted,
        // It has asked for nothing yet.
        () = stops(&mut stop) => return,
    };
    match greeted {
        Ok(Ok(stream)) => converse(stream, peer, place, router, stop).await,
        Ok(Err(error)) => debug!(%peer, "no TLS: {error}"),
        Err(_) => debug!(%peer, "no TLS within {} s", HANDSHAKE_LIMIT.as_secs()),
    }
}

/// One connection, request by request.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    place: Arc<Place>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut router = router.clone();
        place.clone().answer(async move { router.call(request.map(Body::new)).await })
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADERS_LIMIT).max_buf_size(HEADERS_BYTES);
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stops(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%peer, "connection ended: {error}");
    }
}

/// Waits until `stop` says true.
pub(super) async fn stops(stop: &mut watch::Receiver<bool>) {
    // Whoever could say it is gone: that is the same.
    let _ = stop.wait_for(|stops| *stops).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_the_answer_under_way_and_for_nobody_who_asked_for_nothing() {
        let [asked, answer] = [Arc::new(Notify::new()), Arc::new(Notify::new())];
        let (told, until) = (asked.clone(), answer.clone());
        let slow = get(async move || {
            told.notify_one();
            until.notified().await;
            "all of it"
        });
        let socket = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = Listener { socket, tls: None, connections: Connections::new(8) };
        let (stop, stopped) = watch::channel(false);
        let mut serving = tokio::spawn(listener.serve(Router::new().route("/slow", slow), stopped));
        // It comes in before the other one, and says nothing.
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        asked.notified().await;

        stop.send_replace(true);
        let ended = timeout(Duration::from_millis(100), &mut serving).await;
        assert!(ended.is_err(), "it has still to answer");
        let mut text = String::new();
        assert_eq!(silent.read_to_string(&mut text).await.unwrap(), 0, "this one is closed at once: {text}");
        answer.notify_one();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("all of it"), "{text}");
        serving.await.unwrap();
    }
}

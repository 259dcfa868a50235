//! Connections: how many at a time, how long they may take to say something, and TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::Service;
use tracing::{debug, warn};

/// A TLS handshake, and a request's headers, may take so long; so may silence between two requests.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const HEADERS_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's headers at most.
const HEADERS_BYTES: usize = 16 << 10;
/// After the system had no descriptor left for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Where to listen and what may come in.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Connections at the same time, over all listeners that share it.
    pub(crate) permits: Arc<Semaphore>,
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

    /// Serves `router` until `stop` says true; requests under way are answered.
    pub(crate) async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let mut told_full = false;
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&mut told_full) => accepted,
                () = told(&mut stop) => return,
            };
            let Some((stream, peer, permit)) = accepted else { continue };
            let (router, tls, stop) = (router.clone(), self.tls.clone(), stop.clone());
            tokio::spawn(async move {
                match tls {
                    None => converse(stream, peer, router, stop).await,
                    Some(tls) => match timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => converse(stream, peer, router, stop).await,
                        Ok(Err(error)) => debug!(%peer, "no TLS: {error}"),
                        Err(_) => debug!(%peer, "no TLS within {} s", HANDSHAKE_LIMIT.as_secs()),
                    },
                }
                drop(permit);
            });
        }
    }

    /// The next connection, once there is room for it: others wait in the system's queue.
    async fn accept(&self, told_full: &mut bool) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        if self.permits.available_permits() == 0 && !std::mem::replace(told_full, true) {
            warn!("as many connections as allowed (http.max_connections) are open: further ones wait");
        }
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((stream, peer)) => {
                *told_full &= self.permits.available_permits() == 0;
                // Answers are small, or long and filled at once.
                let _ = stream.set_nodelay(true);
                Some((stream, peer, permit))
            }
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                None
            }
        }
    }
}

/// One connection, request by request.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut router = router.clone();
        async move { router.call(request.map(axum::body::Body::new)).await }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADERS_LIMIT).max_buf_size(HEADERS_BYTES);
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%peer, "connection ended: {error}");
    }
}

/// Waits until `stop` says true.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Whoever could say it is gone: that is the same.
    let _ = stop.wait_for(|stops| *stops).await;
}

//! A TCP proxy before PostgreSQL that can refuse, and can swallow.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As if it were not there.
    Pass,
    /// The server is down: connections end.
    Refuse,
    /// The network is: connections stand, and nothing comes through.
    Swallow,
}

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    pub(super) async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::Pass);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *watched.borrow() != Mode::Refuse {
                    tokio::spawn(join(client, server.clone(), watched.clone()));
                }
            }
        });
        Self { address, mode }
    }

    pub(super) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn join(client: TcpStream, server: String, mode: watch::Receiver<Mode>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(pass(from_client, to_server, mode.clone()), pass(from_server, to_client, mode));
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut refused = mode.clone();
    let mut buffer = [0; 8192];
    loop {
        let length = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = refused.wait_for(|mode| *mode == Mode::Refuse) => 0,
        };
        // What was swallowed does not come later: the connection is broken then.
        let swallowed = *mode.borrow() == Mode::Swallow;
        let _ = mode.wait_for(|mode| *mode != Mode::Swallow).await;
        if length == 0 || swallowed || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

//! Where the streams of a session leave: a group's socket each, or the control socket for a client alone.

use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam_channel::Sender as Channel;

use super::error::{EngineError, SessionError};
use super::gather::Gather;
use super::places::Places;
use super::session::Inbound;
use crate::net::{ControlSocket, MulticastSender, NetError, SendStats, SenderOptions};
use crate::sender::SymbolRun;
use crate::types::{Sequence, SessionId};

/// The outlets of one session; dropping them gives groups and numbers of its further streams back.
pub(super) struct Outlets {
    main: Outlet,
    further: Vec<Outlet>,
    places: Places,
    control: Arc<ControlSocket>,
    options: SenderOptions,
    /// Where the clients of further streams are to reach the session.
    inbound: Channel<Inbound>,
    /// What sockets did that are closed.
    past: SendStats,
}

struct Outlet {
    number: SessionId,
    to: SocketAddr,
    socket: MulticastSender,
}

impl Outlets {
    /// With the session's own stream.
    pub(super) fn new(
        (number, to): (SessionId, SocketAddr),
        options: SenderOptions,
        places: Places,
        control: Arc<ControlSocket>,
        inbound: Channel<Inbound>,
    ) -> Result<Self, NetError> {
        let socket = MulticastSender::new(&places.interface, to.ip(), &options)?;
        let main = Outlet { number, to, socket };
        Ok(Self { main, further: Vec::new(), places, control, options, inbound, past: SendStats::default() })
    }

    /// The socket of the session's own stream.
    pub(super) fn main(&self) -> &MulticastSender {
        &self.main.socket
    }

    /// What all of them did.
    pub(super) fn stats(&self) -> SendStats {
        let further = self.further.iter().map(|outlet| outlet.socket.stats());
        further.fold(self.past.plus(self.main.socket.stats()), SendStats::plus)
    }

    /// A further stream, to `client` alone or to a group of its own: its number, and where it goes.
    pub(super) fn open(&mut self, client: Option<SocketAddr>) -> Result<(SessionId, SocketAddr), EngineError> {
        let number = self.places.number();
        let (to, socket) = match client {
            Some(client) => (client, MulticastSender::to_one(&self.control, &self.places.interface, &self.options)?),
            None => {
                let to = self.places.take(None)?;
                let socket = MulticastSender::new(&self.places.interface, to.ip(), &self.options);
                (to, socket.inspect_err(|_| self.places.free(to))?)
            }
        };
        self.places.admit_stream(number, &self.inbound);
        self.further.push(Outlet { number, to, socket });
        Ok((number, to))
    }

    /// The stream of this number is over.
    pub(super) fn close(&mut self, number: SessionId) {
        for outlet in self.further.extract_if(.., |outlet| outlet.number == number) {
            self.past = self.past.plus(outlet.socket.stats());
            outlet.give_back(&self.places);
        }
    }

    /// Sends symbols as part of a stream.
    pub(super) fn symbols(
        &mut self,
        number: SessionId,
        gather: &mut Gather,
        run: SymbolRun,
        sequence: Sequence,
    ) -> Result<(), SessionError> {
        let Some(outlet) = self.of(number) else { return Ok(()) };
        let sent = gather.send(&mut outlet.socket, number, run, sequence, outlet.to);
        outlet.spare_others(sent)
    }

    /// Sends a datagram as part of a stream.
    pub(super) fn datagram(&mut self, number: SessionId, datagram: &[u8]) -> Result<(), SessionError> {
        let Some(outlet) = self.of(number) else { return Ok(()) };
        let sent = outlet.socket.send_to(datagram, outlet.to).map_err(SessionError::from);
        outlet.spare_others(sent)
    }

    fn of(&mut self, number: SessionId) -> Option<&mut Outlet> {
        if self.main.number == number {
            return Some(&mut self.main);
        }
        self.further.iter_mut().find(|outlet| outlet.number == number)
    }
}

impl Outlet {
    /// One client that cannot be reached is no error of the session: it is given up for its silence.
    fn spare_others(&self, sent: Result<(), SessionError>) -> Result<(), SessionError> {
        match sent {
            Err(SessionError::Net(error)) if !self.to.ip().is_multicast() && !matches!(error, NetError::Vanished) => {
                Ok(())
            }
            other => other,
        }
    }

    fn give_back(&self, places: &Places) {
        places.dismiss(self.number);
        if self.to.ip().is_multicast() {
            places.free(self.to);
        }
    }
}

impl Drop for Outlets {
    fn drop(&mut self) {
        // The session's own are given back by whoever took them.
        self.further.iter().for_each(|outlet| outlet.give_back(&self.places));
    }
}

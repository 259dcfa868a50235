//! One trickle, seen at the interface and at a member's socket.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::packet::{Datagram, Query};
use super::{Membership, ours};
use crate::engine::Clock;
use crate::net::{MulticastReceiver, Overhear, wait};
use crate::types::{ClientId, Instant};

/// Nothing for so long is nothing: there is a sample every 12 ms.
pub(super) const GONE: Duration = Duration::from_millis(1500);

/// What reads one trickle at the interface and at a member's socket.
pub(super) struct Following<'a> {
    pub(super) overhear: Option<&'a Overhear>,
    pub(super) receiver: Option<MulticastReceiver>,
    pub(super) group: SocketAddr,
    pub(super) client: ClientId,
    pub(super) seen: Membership,
    pub(super) buffer: Vec<u8>,
    /// When one last reached the interface.
    pub(super) latest: Instant,
}

impl Following<'_> {
    /// Until then, or `enough`.
    pub(super) fn until(&mut self, clock: &Clock, end: Instant, enough: impl Fn(&Membership) -> bool) {
        while clock.now() < end && !enough(&self.seen) {
            self.take(clock, end);
        }
    }

    /// Until then, or nothing came for a while.
    pub(super) fn until_silent(&mut self, clock: &Clock, end: Instant) {
        while clock.now() < end && clock.now() - self.latest < GONE {
            self.take(clock, end.min(self.latest + GONE));
        }
    }

    fn take(&mut self, clock: &Clock, end: Instant) {
        let handles: Vec<_> = [self.overhear.map(Overhear::handle), self.receiver.as_ref().map(|r| r.handle())]
            .into_iter()
            .flatten()
            .collect();
        let _ = wait(&handles, Some(clock.until(end)));
        while let Some(Ok(Some(len))) = self.overhear.map(|overhear| overhear.receive(&mut self.buffer)) {
            self.look(clock, len);
        }
        let Some(receiver) = &mut self.receiver else { return };
        while let Ok(Some(received)) = receiver.receive(&mut self.buffer) {
            let samples = received.datagrams(&self.buffer).filter_map(|datagram| ours(datagram, self.client));
            self.seen.received += samples.filter(|sample| !sample.last).count() as u32;
        }
    }

    /// Counts a packet that reached the interface.
    fn look(&mut self, clock: &Clock, len: usize) {
        let packet = &self.buffer[..len];
        if let Some(datagram) = Datagram::read(packet) {
            let to = SocketAddr::from((datagram.to, datagram.port));
            if to == self.group && ours(datagram.payload, self.client).is_some_and(|sample| !sample.last) {
                self.seen.at_interface += 1;
                self.latest = clock.now();
            }
        } else if let Some(Query { from, group: Some(group), .. }) = Query::read(packet)
            && IpAddr::V4(group) == self.group.ip()
        {
            self.seen.asked_by = Some(from);
        }
    }
}

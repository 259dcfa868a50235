//! Tries a network before it is needed, and says what is wrong with it and what to do.
//!
//! | module | is | does I/O |
//! |---|---|---|
//! | `desk`, `stream` | the server's side: who gets samples, and when each leaves | no |
//! | `tally`, `path`, `packet` | the client's: what came of them, how large they can be, what IGMP says | no |
//! | `trial`, `querier`, `broadcast`, `facts` | measure: over sockets, and from what the system tells of itself | yes |
//! | `judge` | from measurements to findings | no |
//! | `finding` | what was tested, what was seen, what to do | no |
//!
//! The server's side runs in every [`Engine`](crate::engine::Engine); what it sends is set by
//! [`ProbePolicy`].

mod broadcast;
mod desk;
mod facts;
mod finding;
pub mod judge;
mod packet;
mod path;
mod querier;
mod stream;
mod tally;
mod trial;

pub use broadcast::others;
pub use desk::{Desk, LONGEST, LONGEST_TRICKLE, Order, ProbePolicy, Step, TRICKLE};
pub use facts::{BufferFacts, Firewall, RouteFacts, firewall, is_wireless, receive_buffer, route, send_buffer};
pub use finding::{Finding, Outcome, Summary};
pub use packet::{Datagram, Query};
pub use path::PathSearch;
pub use querier::{QuerierFacts, QuerierWatch};
pub use stream::{Due, SampleStream};
pub use tally::{Counts, Tally};
pub use trial::{Contact, Membership, NoSamples, PathFacts, Peer, StreamFacts, Trial};

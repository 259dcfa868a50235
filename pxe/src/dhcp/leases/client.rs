//! What tells clients apart.

use std::fmt;

use crate::machine::Mac;

/// What tells clients apart: RFC 2131 §4.2 wants the client identifier (option 61), if there is one.
///
/// Identifiers that are made of the card's address count as that address. So do those made of the board's UUID, which
/// some boards share: firmware, iPXE and a plain client of one card have one lease between them. Others are told apart
/// by their cards, too: systems that were copied from one disk send one identifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientId {
    /// A card.
    Card(Mac),
    /// A card, and bytes that the client chose.
    Other(Mac, Vec<u8>),
}

/// What no client's identifier is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no client: a MAC address, or id: and hexadecimal digits")]
pub struct ParseClientIdError(String);

impl ClientId {
    /// The client with this card that sends these options 61 and 97.
    pub(in crate::dhcp) fn new(mac: Mac, identifier: Option<&[u8]>, uuid: Option<&[u8]>) -> Self {
        match identifier {
            None | Some([] | [_]) => Self::Card(mac),
            Some([1, address @ ..]) if *address == mac.0 => Self::Card(mac),
            Some(board @ [0, ..]) if board.len() == 17 && Some(board) == uuid => Self::Card(mac),
            Some(other) => Self::Other(mac, other.to_vec()),
        }
    }

    /// The client with this card that was written as `text`.
    ///
    /// # Errors
    /// [`ParseClientIdError`]
    pub fn parse(text: &str, mac: Mac) -> Result<Self, ParseClientIdError> {
        let error = || ParseClientIdError(text.to_owned());
        let Some(digits) = text.strip_prefix("id:") else {
            return text.parse().map(Self::Card).map_err(|_| error());
        };
        let digits: Vec<u8> =
            digits.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect::<Option<_>>().ok_or_else(error)?;
        if digits.is_empty() || !digits.len().is_multiple_of(2) {
            return Err(error());
        }
        Ok(Self::Other(mac, digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
    }
}

/// As it is to be kept beside its card: `52:54:00:12:34:56` or `id:ff00…`.
impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card(mac) => fmt::Display::fmt(mac, f),
            Self::Other(_, bytes) => {
                f.write_str("id:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);

    #[test]
    fn an_identifier_made_of_the_card_or_the_board_is_the_card() {
        let board = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        assert_eq!(ClientId::new(MAC, None, None), ClientId::Card(MAC));
        assert_eq!(ClientId::new(MAC, Some(&[1, 0x52, 0x54, 0, 1, 2, 3]), None), ClientId::Card(MAC));
        assert_eq!(ClientId::new(MAC, Some(&board), Some(&board)), ClientId::Card(MAC));
        assert_eq!(ClientId::new(MAC, Some(&board), None), ClientId::Other(MAC, board.to_vec()));
        assert_eq!(ClientId::new(MAC, Some(&[1, 9, 9]), None), ClientId::Other(MAC, vec![1, 9, 9]));
    }

    #[test]
    fn a_client_is_read_as_it_is_written() {
        for client in [ClientId::Card(MAC), ClientId::Other(MAC, vec![0xff, 0, 0x1a])] {
            assert_eq!(ClientId::parse(&client.to_string(), MAC), Ok(client));
        }
        for text in ["", "id:", "id:1", "id:zz", "52:54"] {
            assert!(ClientId::parse(text, MAC).is_err(), "{text}");
        }
    }
}

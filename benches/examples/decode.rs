//! Encodes one block of 1,440-byte symbols and decodes it again and again, for counting instructions:
//! `decode CODEC K R LOST TURNS`. What one turn costs is the difference between two runs:
//!
//! ```text
//! for turns in 0 10; do
//!   valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/decode 2 1024 1024 10 $turns
//! done
//! ```

use benches::{coded, lose};
use multicast_core::codec::{CodeShape, CodecId};

fn main() {
    let numbers: Vec<u16> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let &[codec, source, parity, lost, turns] = numbers.as_slice() else {
        eprintln!("usage: decode CODEC K R LOST TURNS");
        std::process::exit(2);
    };
    let codec = CodecId::from_wire(codec as u8).expect("1 or 2");
    let shape = CodeShape { source, parity, symbol_size: 1440 };
    let (mut block, repair) = coded(codec, shape);
    let whole = block.clone();
    let (present, parity) = lose(shape, &repair, lost.into());
    for (symbol, _) in block.chunks_mut(1440).zip(&present).filter(|(_, present)| !**present) {
        symbol.fill(0xEE);
    }
    let mut coder = codec.coder();
    // Tables are made by the first turn, which is never counted.
    for _ in 0..=turns {
        coder.decode(shape, &mut block, &present, &parity).expect("enough symbols");
    }
    assert!(block == whole, "decoded wrongly");
}

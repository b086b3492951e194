//! What a JPEG 2000 promises before anything is decoded (ISO/IEC 15444-1, Annex A): its decoder makes room for each
//! tile, precinct and block that the header names, however short the file is.

/// The markers SOC and SIZ.
pub const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
const COD: u8 = 0x52;
const COC: u8 = 0x53;
const SOT: u8 = 0x90;
const SOD: u8 = 0x93;
const EOC: u8 = 0xd9;

/// Pixels of a side of a portrait.
const SIDE_MAX: u32 = 4_000;
/// Pixels of one: those of chips have less than one million.
const PIXELS_MAX: u64 = 4_000_000;
const TILES_MAX: u64 = 64;
const TILE_PARTS_MAX: usize = 256;
const LAYERS_MAX: u16 = 32;
const LEVELS_MAX: u8 = 10;
/// The shorter side of a block, as a power of two.
const BLOCK_MIN: u8 = 4;
/// The shorter side of a precinct, as a power of two.
const PRECINCT_MIN: u8 = 4;

/// What a header says of a picture that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promised {
    /// Shades of grey, or colours, with how transparent it is.
    pub channels: usize,
}

/// The bytes of a marker segment, without marker and length.
fn segment<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes(*bytes.first_chunk::<2>()?));
    let content = bytes.get(2..length)?;
    *bytes = bytes.get(length..)?;
    Some(content)
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// What a picture promises; `None` if that is too much, or nothing that can be read.
pub fn promised(stream: &[u8]) -> Option<Promised> {
    let mut rest = stream.strip_prefix(&START)?;
    let channels = size(segment(&mut rest)?)?;
    let mut styled = false;
    loop {
        let [0xff, marker] = *rest.first_chunk::<2>()? else { return None };
        if marker == SOT {
            break;
        }
        rest = rest.get(2..)?;
        let content = segment(&mut rest)?;
        match marker {
            COD => {
                is_tame(content)?;
                styled = true;
            }
            COC | SOD | EOC => return None,
            _ => {}
        }
    }
    parts_are_tame(rest)?;
    styled.then_some(Promised { channels })
}

/// SIZ: how large it is, on the grid on which everything else is laid out.
fn size(siz: &[u8]) -> Option<usize> {
    let number = |at| long(siz, at);
    let (width, height) = (number(2)?, number(6)?);
    let (tile_width, tile_height) = (number(18)?, number(22)?);
    let channels = usize::from(u16::from_be_bytes(*siz.get(34..)?.first_chunk()?));
    let offsets = [number(10)?, number(14)?, number(26)?, number(30)?];
    let fits = (1..=SIDE_MAX).contains(&width)
        && (1..=SIDE_MAX).contains(&height)
        && u64::from(width) * u64::from(height) <= PIXELS_MAX
        && offsets == [0; 4]
        && (1..=4).contains(&channels);
    let tiles = |side: u32, tile: u32| (tile > 0).then(|| u64::from(side.div_ceil(tile)));
    let tiles = tiles(width, tile_width)? * tiles(height, tile_height)?;
    let each = siz.get(36..)?;
    // Colours may have half of the points of shades, in each direction.
    let sampled = each.len() == 3 * channels
        && each.chunks_exact(3).all(|one| (1..=2).contains(&one[1]) && (1..=2).contains(&one[2]));
    (fits && tiles <= TILES_MAX && sampled).then_some(channels)
}

/// COD: into how many pieces it is cut.
fn is_tame(cod: &[u8]) -> Option<()> {
    let (style, layers) = (*cod.first()?, u16::from_be_bytes(*cod.get(2..)?.first_chunk()?));
    let (levels, wide, high) = (*cod.get(5)?, *cod.get(6)?, *cod.get(7)?);
    let block = |exponent: u8| (BLOCK_MIN..=10).contains(&(exponent & 0xf).saturating_add(2));
    let precincts = if style & 1 == 1 { cod.get(10..)? } else { &[] };
    let large = |both: &u8| both & 0xf >= PRECINCT_MIN && both >> 4 >= PRECINCT_MIN;
    let fits = (1..=LAYERS_MAX).contains(&layers)
        && levels <= LEVELS_MAX
        && block(wide)
        && block(high)
        && precincts.iter().all(large);
    fits.then_some(())
}

/// The parts of tiles may say all that anew. Those of portraits do not.
fn parts_are_tame(mut rest: &[u8]) -> Option<()> {
    for _ in 0..TILE_PARTS_MAX {
        let part = rest;
        let [0xff, marker] = *rest.first_chunk::<2>()? else { return None };
        if marker == EOC {
            return Some(());
        }
        if marker != SOT {
            return None;
        }
        rest = rest.get(2..)?;
        let length = usize::try_from(long(segment(&mut rest)?, 2)?).ok()?;
        loop {
            let [0xff, marker] = *rest.first_chunk::<2>()? else { return None };
            rest = rest.get(2..)?;
            match marker {
                SOD => break,
                COD | COC | SOT | EOC => return None,
                _ => drop(segment(&mut rest)?),
            }
        }
        // 0 is up to the end, of the last one.
        rest = if length == 0 { return Some(()) } else { part.get(length..)? };
        if rest.is_empty() {
            return Some(());
        }
    }
    None
}

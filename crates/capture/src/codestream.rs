//! A JPEG 2000 written anew from what was understood of it, before anything is decoded (ISO/IEC 15444-1, Annex A). Its
//! decoder makes room for each tile, precinct and block that a header names, however short the file is, and takes some
//! lengths for granted: it sees nothing but markers that portraits have, each as long as it has to be.

/// The markers SOC and SIZ.
pub const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
const COD: u8 = 0x52;
const TLM: u8 = 0x55;
const PLT: u8 = 0x58;
const QCD: u8 = 0x5c;
const QCC: u8 = 0x5d;
const RGN: u8 = 0x5e;
const CRG: u8 = 0x63;
const COM: u8 = 0x64;
const SOT: u8 = 0x90;
const SOD: u8 = 0x93;
const EOC: u8 = 0xd9;

/// Pixels of a side of a portrait.
const SIDE_MAX: u32 = 4_000;
/// Pixels of one: those of chips have less than one million.
const PIXELS_MAX: u64 = 2_000_000;
const TILES_MAX: u64 = 64;
const TILE_PARTS_MAX: usize = 256;
const LAYERS_MAX: u16 = 20;
const LEVELS_MAX: u8 = 10;
/// The shorter side of a block, as a power of two.
const BLOCK_MIN: u8 = 4;
/// The shorter side of a precinct, as a power of two.
const PRECINCT_MIN: u8 = 5;

/// A picture that can be decoded.
#[derive(Debug, PartialEq, Eq)]
pub struct Tame {
    /// Written anew.
    pub stream: Vec<u8>,
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

fn marker(bytes: &mut &[u8]) -> Option<u8> {
    let ([0xff, marker], rest) = bytes.split_first_chunk::<2>()? else { return None };
    *bytes = rest;
    Some(*marker)
}

fn put(out: &mut Vec<u8>, marker: u8, content: &[u8]) -> Option<()> {
    let length = u16::try_from(content.len() + 2).ok()?;
    out.extend([0xff, marker]);
    out.extend(length.to_be_bytes());
    out.extend(content);
    Some(())
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A picture written anew; `None` if it promises too much, or nothing that is understood.
pub fn tame(stream: &[u8]) -> Option<Tame> {
    let mut rest = stream.strip_prefix(&START)?;
    let siz = segment(&mut rest)?;
    let channels = size(siz)?;
    let mut out = START[..2].to_vec();
    put(&mut out, START[3], siz)?;
    let (mut styled, mut quantized) = (false, false);
    let first = loop {
        let found = marker(&mut rest)?;
        if found == SOT {
            break rest;
        }
        let content = segment(&mut rest)?;
        match found {
            COD if !styled => {
                put(&mut out, COD, style(content)?)?;
                styled = true;
            }
            QCD | QCC | RGN => {
                put(&mut out, found, quantization(found, content, channels)?)?;
                quantized |= found == QCD;
            }
            // What they say is of no use for decoding.
            COM | TLM | CRG => {}
            _ => return None,
        }
    };
    tile_parts(first, channels, &mut out)?;
    (styled && quantized).then_some(Tame { stream: out, channels })
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

/// COD: into how many pieces it is cut. Exactly what is read of it.
fn style(cod: &[u8]) -> Option<&[u8]> {
    let (style, layers) = (*cod.first()?, u16::from_be_bytes(*cod.get(2..)?.first_chunk()?));
    let (levels, wide, high) = (*cod.get(5)?, *cod.get(6)?, *cod.get(7)?);
    let block = |exponent: u8| (BLOCK_MIN..=10).contains(&(exponent & 0xf).saturating_add(2));
    let large = |both: &u8| both & 0xf >= PRECINCT_MIN && both >> 4 >= PRECINCT_MIN;
    let precincts = if style & 1 == 1 { usize::from(levels) + 1 } else { 0 };
    let fits = cod.len() == 10 + precincts
        && (1..=LAYERS_MAX).contains(&layers)
        && levels <= LEVELS_MAX
        && block(wide)
        && block(high)
        && cod[10..].iter().all(large);
    fits.then_some(cod)
}

/// QCD, QCC and RGN: how numbers are scaled, of all channels or of one. Exactly what is read of it.
fn quantization(marker: u8, content: &[u8], channels: usize) -> Option<&[u8]> {
    let of_one = marker != QCD;
    if of_one && usize::from(*content.first()?) >= channels {
        return None;
    }
    let rest = content.get(usize::from(of_one)..)?;
    let bands = 3 * usize::from(LEVELS_MAX) + 1;
    let fits = match (marker, rest.first()? & 0x1f) {
        (RGN, _) => rest.len() == 2,
        (_, 0) => (2..=1 + bands).contains(&rest.len()),
        (_, 1) => rest.len() == 3,
        (_, 2) => (3..=1 + 2 * bands).contains(&rest.len()) && rest.len() % 2 == 1,
        _ => false,
    };
    fits.then_some(content)
}

/// The parts of tiles, after the first SOT. Each may scale its numbers in another way, and nothing else.
fn tile_parts(mut rest: &[u8], channels: usize, out: &mut Vec<u8>) -> Option<()> {
    for _ in 0..TILE_PARTS_MAX {
        let (before, sot) = (rest, segment(&mut rest)?);
        let length = usize::try_from(long(sot, 2)?).ok()?;
        let mut header = Vec::new();
        loop {
            let found = marker(&mut rest)?;
            if found == SOD {
                break;
            }
            let content = segment(&mut rest)?;
            match found {
                QCD | QCC | RGN => {
                    put(&mut header, found, quantization(found, content, channels)?)?;
                }
                PLT | COM => {}
                _ => return None,
            }
        }
        // The length counts from the marker on; 0 is up to the end, and the last one may be cut.
        let used = 2 + before.len() - rest.len();
        let data = match length {
            0 => rest.len(),
            length => length.checked_sub(used)?.min(rest.len()),
        };
        let (data, after) = rest.split_at(data);
        let whole = 14 + header.len() + data.len();
        let part = u32::try_from(whole).ok()?.to_be_bytes();
        let &[high, low, _, _, _, _, number, count] = sot else { return None };
        put(out, SOT, &[&[high, low][..], &part, &[number, count]].concat())?;
        out.extend(header);
        out.extend([0xff, SOD]);
        out.extend(data);
        rest = after;
        match marker(&mut rest) {
            Some(SOT) => {}
            Some(EOC) | None => {
                out.extend([0xff, EOC]);
                return Some(());
            }
            Some(_) => return None,
        }
    }
    None
}

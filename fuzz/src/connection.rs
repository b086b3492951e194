//! What comes first on a connection, and where messages go.

use portcullis_gateway::{ProxyHeader, ja4, read_proxy_header};
use portcullis_phone::Phone;

/// Headers of both versions, and what begins like one.
pub const PROXY_HEADERS: &[&[u8]] = &[
    b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET / HTTP/1.1",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\x04\0\x01\xbb",
];

/// As OpenSSL says it, and what begins like one.
pub const CLIENT_HELLOS: &[&[u8]] =
    &[include_bytes!("../seeds/client_hello.bin"), &[22, 3, 1, 0, 5, 1, 0, 0, 1, 3]];

/// What is taken off a connection is never more than there is, and what is asked for is never less
/// than was there.
pub fn proxy_header(input: &[u8]) {
    match read_proxy_header(input) {
        Ok(ProxyHeader::Whole { length, .. }) => {
            assert!(length <= input.len());
            assert_eq!(read_proxy_header(&input[..length]), read_proxy_header(input));
        }
        Ok(ProxyHeader::Needs(count)) => assert!(count > input.len() && count <= 528),
        Err(_) => {}
    }
}

/// A fingerprint has its form whatever is said, and how the bytes go on changes nothing of it.
pub fn client_hello(input: &[u8]) {
    let Some(told) = ja4(input) else { return };
    let parts: Vec<&str> = told.split('_').collect();
    assert!(parts.len() == 3 && parts[0].len() == 10 && parts[0].starts_with('t'), "{told}");
    for part in &parts[1..] {
        assert!(part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit()), "{told}");
    }
    assert!(told.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{told}");
    let longer = [input, &[0; 32]].concat();
    assert_eq!(ja4(&longer).as_ref(), Some(&told));
}

/// Numbers as people type them.
pub const NUMBERS: &[&[u8]] =
    &[b"+49 1512 3456789", b"0044 (0)7911 123456", b"+39 06 12345678", b"(212) 555-1234"];

/// A number that is read is one of E.164, and reads as itself.
pub fn phone_number(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for home in [None, Some("DE"), Some("US")] {
        let Ok(phone) = Phone::read(text, home) else { continue };
        let digits = phone.number.strip_prefix('+').expect("a plus");
        assert!((2..=17).contains(&digits.len()), "{phone:?}");
        assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{phone:?}");
        assert_eq!(Phone::read(&phone.number, None).as_ref(), Ok(&phone));
    }
}

//! Reads anything as a history: in the format of the first byte, or in the one that is guessed. Whatever it
//! is, it is read or refused with a line; and read twice it is the same.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ordeal_formats::{Format, Item, ReadOptions, Reader};

fn read(bytes: &[u8], options: &ReadOptions) -> Result<Vec<(u64, u64, String)>, String> {
    let reader = Reader::open(Box::new(Cursor::new(bytes.to_vec())), options).map_err(|e| e.to_string())?;
    let mut operations = Vec::new();
    let summary = reader
        .read(&mut |item| {
            if let Item::Operation(op) = item {
                assert!(op.call <= op.ret);
                operations.push((op.call, op.ret, format!("{:?} {:?}", op.invoke, op.complete)));
            }
        })
        .map_err(|e| e.to_string())?;
    assert_eq!(operations.len() as u64, summary.ok + summary.fail + summary.info);
    Ok(operations)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let format = Format::ALL.get(usize::from(first >> 1)).copied();
    let options = ReadOptions { format, independent: first & 1 == 1 };
    assert_eq!(read(rest, &options), read(rest, &options));
});

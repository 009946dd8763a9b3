//! The vDSO: the kernel's own code in every process, by which programs read clocks without a system call.
//!
//! Its functions are found in its table of dynamic symbols. The first instructions of each are replaced by
//! a jump; they themselves go on in the code page, with their references to addresses corrected.
//! Source: vdso(7), elf(5).

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock, OpKind,
};

use super::stub;
use crate::clock::page::PAGE_BYTES;

/// In the order of [`stub::entries`].
const FUNCTIONS: [&str; 3] = ["__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time"];
/// `jmp rel32`.
const JUMP_BYTES: usize = 5;
const JUMP: u8 = 0xe9;
/// `syscall`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// The plan is made for a code page so far below the vDSO; any other place within reach is a correction.
const PLANNED_BELOW: u64 = 1 << 20;

/// A function of the vDSO that is going to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Function {
    /// Where in the vDSO.
    at: usize,
    /// So many of its bytes are instructions that cannot stay.
    replaced: usize,
    /// Where in the code page its counterpart is.
    entry: usize,
}

/// How to patch one vDSO, wherever it and the code page lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The vDSO as it is found in memory, unpatched.
    image: Vec<u8>,
    functions: Vec<Function>,
    code: Vec<u8>,
    /// Where in the code are distances to the vDSO, of 32 bits.
    distances: Vec<usize>,
    syscall: usize,
}

impl Plan {
    /// # Errors
    /// What in this vDSO is not as expected.
    pub(super) fn of(image: &[u8]) -> Result<Self, String> {
        let symbols = symbols(image).ok_or("its table of symbols cannot be read")?;
        let syscall = image.windows(2).position(|two| two == SYSCALL).ok_or("it makes no system call")?;
        let mut code = vec![0; PAGE_BYTES];
        code[..stub::code().len()].copy_from_slice(stub::code());
        code[stub::MARK_AT..][..stub::MARK.len()].copy_from_slice(stub::MARK);
        let mut plan =
            Plan { image: image.to_vec(), functions: Vec::new(), code, distances: Vec::new(), syscall };
        for ((name, entry), relocated) in FUNCTIONS.iter().zip(stub::entries()).zip(stub::RELOCATED) {
            let symbol = symbols
                .iter()
                .find(|symbol| symbol.name == *name)
                .ok_or_else(|| format!("it has no {name}"))?;
            plan.replace(symbol, entry, relocated).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(plan)
    }

    fn replace(&mut self, symbol: &Symbol, entry: usize, relocated: Option<usize>) -> Result<(), String> {
        let end = symbol.at + symbol.bytes;
        let body = self.image.get(symbol.at..end).ok_or("lies outside")?;
        let (vdso, at) = (PLANNED_BELOW, PLANNED_BELOW + symbol.at as u64);
        let all: Vec<Instruction> = Decoder::with_ip(64, body, at, DecoderOptions::NONE).iter().collect();
        let mut moved = Vec::new();
        let mut replaced = 0;
        for instruction in &all {
            if replaced >= JUMP_BYTES {
                break;
            }
            // Behind anything else the rest would be reached from elsewhere, or return into what is replaced.
            if instruction.is_invalid() || instruction.flow_control() != FlowControl::Next {
                return Err(format!("does not begin like a function: {:?}", instruction.code()));
            }
            replaced += instruction.len();
            moved.push(*instruction);
        }
        let inside = at + 1..at + replaced as u64;
        let is_near = |i: &Instruction| i.op_count() > 0 && i.op0_kind() == OpKind::NearBranch64;
        if replaced < JUMP_BYTES || all.iter().any(|i| is_near(i) && inside.contains(&i.near_branch_target()))
        {
            return Err("has no room for a jump".to_owned());
        }
        if let Some(place) = relocated {
            let on = Instruction::with_branch(Code::Jmp_rel32_64, vdso + (symbol.at + replaced) as u64);
            moved.push(on.map_err(|e| e.to_string())?);
            self.relocate(&moved, place)?;
        }
        self.functions.push(Function { at: symbol.at, replaced, entry });
        Ok(())
    }

    /// Encodes instructions at a place in the code page, which is taken to lie at address 0.
    fn relocate(&mut self, instructions: &[Instruction], place: usize) -> Result<(), String> {
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS
            | BlockEncoderOptions::RETURN_CONSTANT_OFFSETS;
        let block = InstructionBlock::new(instructions, place as u64);
        let encoded = BlockEncoder::encode(64, block, options).map_err(|e| e.to_string())?;
        let bytes = &encoded.code_buffer;
        if bytes.len() > stub::RELOCATED_BYTES {
            return Err(format!("its beginning takes {} bytes", bytes.len()));
        }
        self.code[place..place + bytes.len()].copy_from_slice(bytes);
        let places = encoded.new_instruction_offsets.iter().zip(&encoded.constant_offsets);
        for ((&begin, constants), instruction) in places.zip(instructions) {
            let constant = if instruction.is_ip_rel_memory_operand() {
                constants.displacement_offset()
            } else if instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64 {
                constants.immediate_offset()
            } else {
                continue;
            };
            self.distances.push(place + begin as usize + constant);
        }
        Ok(())
    }

    /// The code page for this address, in a process with its vDSO at that one.
    pub(super) fn code(&self, page: u64, vdso: u64) -> Vec<u8> {
        let mut code = self.code.clone();
        let correction = vdso.wrapping_sub(page).wrapping_sub(PLANNED_BELOW) as u32;
        for &at in &self.distances {
            if let Some(distance) = code[at..].first_chunk_mut::<4>() {
                *distance = u32::from_le_bytes(*distance).wrapping_add(correction).to_le_bytes();
            }
        }
        code
    }

    /// The jumps into the code page: where to write what.
    pub(super) fn jumps(&self, page: u64, vdso: u64) -> impl Iterator<Item = (u64, [u8; JUMP_BYTES])> {
        self.functions.iter().map(move |function| {
            let at = vdso + function.at as u64;
            let distance = (page + function.entry as u64).wrapping_sub(at + JUMP_BYTES as u64) as u32;
            let [a, b, c, d] = distance.to_le_bytes();
            (at, [JUMP, a, b, c, d])
        })
    }

    /// Whether an address lies inside of what is replaced: a thread that stands there would go on in the
    /// middle of a jump.
    pub(super) fn is_inside(&self, address: u64, vdso: u64) -> bool {
        let begins = self.functions.iter().map(|f| (vdso + f.at as u64, f.replaced as u64));
        begins.into_iter().any(|(begin, bytes)| (begin + 1..begin + bytes).contains(&address))
    }

    /// Whether this is the vDSO that the plan was made for.
    pub(super) fn fits(&self, image: &[u8]) -> bool {
        self.image == image
    }

    /// Where in the vDSO `clock_gettime` is.
    pub(super) fn clock_gettime(&self) -> u64 {
        self.functions.first().map_or(0, |function| function.at as u64)
    }

    /// Where in the vDSO a system call is made.
    pub(super) fn syscall(&self) -> u64 {
        self.syscall as u64
    }

    /// The plan as the preload library reads it (preload/clock.rs): the code page, and a page with the size of
    /// the vDSO, the distance it was made for, the distances in it, and the functions with their first eight
    /// bytes.
    pub(super) fn for_preload(&self) -> Vec<u8> {
        let mut table: Vec<u64> = vec![self.image.len() as u64, PLANNED_BELOW, self.distances.len() as u64];
        table.extend(self.distances.iter().map(|&at| at as u64));
        table.push(self.functions.len() as u64);
        for function in &self.functions {
            let first =
                self.image[function.at..].first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
            table.extend([function.at as u64, function.entry as u64, first]);
        }
        let mut pages = self.code.clone();
        pages.extend(table.iter().flat_map(|word| word.to_le_bytes()));
        pages.resize(2 * PAGE_BYTES, 0);
        pages
    }
}

/// Where a jump at this address goes, if it is one.
pub(super) fn jump_target(at: u64, bytes: [u8; JUMP_BYTES]) -> Option<u64> {
    let [JUMP, distance @ ..] = bytes else { return None };
    Some((at + JUMP_BYTES as u64).wrapping_add_signed(i64::from(i32::from_le_bytes(distance))))
}

struct Symbol {
    name: String,
    at: usize,
    bytes: usize,
}

/// The functions that the image offers; `None` if it is not an image as expected.
fn symbols(image: &[u8]) -> Option<Vec<Symbol>> {
    const LOAD: u64 = 1;
    const DYNAMIC: u64 = 2;
    let word = |at: usize, bytes: usize| {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(image.get(at..at.checked_add(bytes)?)?);
        Some(u64::from_le_bytes(word))
    };
    let address = |at: usize| word(at, 8).map(|a| a as usize);
    // ELF, 64 bits, little-endian.
    if image.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (headers, count) = (address(32)?, word(56, 2)? as usize);
    let header = |kind| (0..count).map(|i| headers + 56 * i).find(|&at| word(at, 4) == Some(kind));
    let loaded = header(LOAD)?;
    let shift = address(loaded + 16)?.wrapping_sub(address(loaded + 8)?);
    let dynamic = address(header(DYNAMIC)? + 8)?;
    // DT_STRTAB, DT_SYMTAB, DT_HASH, DT_GNU_HASH.
    let entry = |tag: u64| {
        let entries = (0..image.len() / 16)
            .map(|i| dynamic + 16 * i)
            .take_while(|&at| word(at, 8).is_some_and(|t| t != 0));
        entries
            .into_iter()
            .find(|&at| word(at, 8) == Some(tag))
            .and_then(|at| Some(address(at + 8)?.wrapping_sub(shift)))
    };
    let (names, table) = (entry(5)?, entry(6)?);
    let symbols = match entry(4) {
        Some(hash) => word(hash + 4, 4)? as usize,
        // The number of symbols is not written down: the table ends with the file at the latest.
        None => image.len().checked_sub(table)? / 24,
    };
    let mut found = Vec::new();
    for at in (1..symbols).map(|i| table + 24 * i) {
        let (Some(name), Some(section), Some(value), Some(bytes)) =
            (word(at, 4), word(at + 6, 2), address(at + 8), address(at + 16))
        else {
            break;
        };
        let name: Vec<u8> = image
            .get(names + name as usize..)
            .unwrap_or_default()
            .iter()
            .copied()
            .take_while(|&c| c != 0)
            .collect();
        if section != 0 {
            found.push(Symbol {
                name: String::from_utf8_lossy(&name).into_owned(),
                at: value.wrapping_sub(shift),
                bytes,
            });
        }
    }
    Some(found)
}

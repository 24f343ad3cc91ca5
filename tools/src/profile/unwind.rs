//! Unwinds a thread's stack from its registers and memory, by the unwinding tables of its program.
//!
//! ocamlopt, Rust and glibc describe each function's frame in `.eh_frame` (`.debug_eh_frame` in an
//! unstripped image); OCaml's descriptions include its stack switches. Debian's musl has none: its
//! frames are found as in a crash report, by the next word on the stack that points after a call.

use crate::failure::{Context as _, Failure};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EndianSlice, EvaluationResult, LittleEndian,
    Location, Register, RegisterRule, UnwindContext, UnwindExpression, UnwindSection as _, Value,
    X86_64,
};
use object::{Object as _, ObjectSection as _, SectionKind};
use std::ops::Range;
use std::path::Path;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// The maximum number of calls per sample.
const MAX_FRAMES: usize = 200;
/// The maximum number of operations per expression; compilers emit a few. Bounds endless loops.
const MAX_OPERATIONS: u32 = 1000;
/// The number of stack words to search for the caller of a function without a description.
const MAX_WORDS: u64 = 512;

/// The registers by DWARF numbers; 16 is the instruction pointer.
pub type Registers = [u64; 17];

const SP: usize = 7;
const IP: usize = 16;

/// The memory of a stopped program.
pub trait Memory {
    /// Reads eight bytes; `None` if the address isn't mapped.
    fn word(&mut self, address: u64) -> Option<u64>;
}

/// A function's description: its addresses, and the description's offset in the section.
struct Function {
    range: Range<u64>,
    at: usize,
}

/// The code of a program or library, at the addresses in its file.
pub struct Code {
    frames: Vec<u8>,
    frames_at: u64,
    functions: Vec<Function>,
    /// Code sections.
    text: Vec<(u64, Vec<u8>)>,
}

impl Code {
    /// Reads the file's code and descriptions.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).on(path)?;
        let file = object::File::parse(&*bytes)
            .map_err(|error| Failure::on(path, format!("no ELF file: {error}")))?;
        let named = |name| file.section_by_name(name);
        let section = named(".eh_frame").or_else(|| named(".debug_eh_frame"));
        let contents = |section: &object::Section| section.data().unwrap_or_default().to_vec();
        let mut code = Self {
            frames: section.as_ref().map(contents).unwrap_or_default(),
            frames_at: section.map_or(0, |section| section.address()),
            functions: Vec::new(),
            text: Vec::new(),
        };
        let text = file.sections().filter(|it| it.kind() == SectionKind::Text);
        code.text = text.map(|it| (it.address(), contents(&it))).collect();
        code.functions = code.index();
        Ok(code)
    }

    fn section(&self) -> EhFrame<Bytes<'_>> {
        EhFrame::new(&self.frames, LittleEndian)
    }

    fn bases(&self) -> BaseAddresses {
        BaseAddresses::default().set_eh_frame(self.frames_at)
    }

    /// Returns all descriptions, sorted by address. A malformed one ends the list.
    fn index(&self) -> Vec<Function> {
        let (section, bases) = (self.section(), self.bases());
        let mut entries = section.entries(&bases);
        let mut functions = Vec::new();
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(partial) = entry else {
                continue;
            };
            if let Ok(fde) = partial.parse(EhFrame::cie_from_offset) {
                let start = fde.initial_address();
                // Address 0 marks a function that the linker discarded.
                if start > 0 && fde.len() > 0 {
                    functions.push(Function {
                        range: start..start.saturating_add(fde.len()),
                        at: fde.offset(),
                    });
                }
            }
        }
        functions.sort_by_key(|function| function.range.start);
        functions
    }

    fn function(&self, address: u64) -> Option<&Function> {
        let behind = self
            .functions
            .partition_point(|function| function.range.start <= address);
        let function = self.functions.get(behind.checked_sub(1)?)?;
        function.range.contains(&address).then_some(function)
    }

    /// Returns the code from `address` on.
    fn code_at(&self, address: u64) -> Option<&[u8]> {
        self.text.iter().find_map(|(start, code)| {
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            code.get(offset..).filter(|rest| !rest.is_empty())
        })
    }

    /// Whether the instruction before this one is a call: E8, or FF with 2 in the middle bits of
    /// the next byte (Intel SDM, volume 2, CALL).
    fn is_behind_call(&self, address: u64) -> bool {
        let before = |n: u64| {
            let at = self.code_at(address.checked_sub(n)?)?;
            Some((*at.first()?, *at.get(1)?))
        };
        before(5).is_some_and(|(first, _)| first == 0xe8)
            || [2, 3, 4, 6, 7]
                .into_iter()
                .filter_map(before)
                .any(|(first, second)| first == 0xff && second >> 3 & 7 == 2)
    }
}

/// Maps addresses to code and its load offset.
pub trait Modules {
    /// Returns the code at this address, and the offset to subtract.
    fn find(&self, address: u64) -> Option<(&Code, u64)>;
}

/// Returns the addresses of a thread's calls, innermost first: the instruction pointer, then return
/// addresses.
pub fn calls(
    mut registers: Registers,
    modules: &impl Modules,
    memory: &mut impl Memory,
) -> Vec<u64> {
    let mut context = UnwindContext::new();
    let mut calls = vec![registers[IP]];
    while calls.len() < MAX_FRAMES {
        let probe = registers[IP].wrapping_sub(u64::from(calls.len() > 1));
        let before = (registers[IP], registers[SP]);
        let described = modules.find(probe).and_then(|(code, moved)| {
            let function = code.function(probe.wrapping_sub(moved))?;
            Some(described(
                code,
                function,
                moved,
                probe,
                &registers,
                memory,
                &mut context,
            ))
        });
        let caller = match described {
            Some(caller) => caller,
            None => scan(&registers, modules, memory),
        };
        match caller {
            Some(caller) if (caller[IP], caller[SP]) != before && caller[IP] != 0 => {
                registers = caller;
                calls.push(registers[IP]);
            }
            _ => break,
        }
    }
    // A description without an end mark yields words that aren't code: drops them.
    while calls.len() > 1
        && calls
            .last()
            .is_some_and(|last| modules.find(last - 1).is_none())
    {
        calls.pop();
    }
    calls
}

/// Computes the caller's registers from a function's description.
fn described(
    code: &Code,
    function: &Function,
    moved: u64,
    probe: u64,
    registers: &Registers,
    memory: &mut impl Memory,
    context: &mut UnwindContext<usize>,
) -> Option<Registers> {
    let (section, bases) = (code.section(), code.bases());
    let partial = section
        .partial_fde_from_offset(&bases, function.at.into())
        .ok()?;
    let fde = partial.parse(EhFrame::cie_from_offset).ok()?;
    let row = fde
        .unwind_info_for_address(&section, &bases, context, probe.wrapping_sub(moved))
        .ok()?;
    let encoding = fde.cie().encoding();
    let mut evaluate = |expression: &UnwindExpression<usize>, cfa: Option<u64>| {
        let expression = expression.get(&section).ok()?;
        let mut evaluation = expression.evaluation(encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresMemory { address, .. } => {
                    let word = memory.word(address)?;
                    evaluation.resume_with_memory(Value::Generic(word)).ok()?
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = *registers.get(usize::from(register.0))?;
                    evaluation
                        .resume_with_register(Value::Generic(value))
                        .ok()?
                }
                _ => return None,
            };
        }
        match evaluation.as_result().first()?.location {
            Location::Address { address } => Some(address),
            _ => None,
        }
    };
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => registers
            .get(usize::from(register.0))?
            .wrapping_add_signed(*offset),
        CfaRule::Expression(expression) => evaluate(expression, None)?,
    };
    let mut caller = *registers;
    let mut addresses: [Option<u64>; 17] = [None; 17];
    for (register, rule) in row.registers() {
        let number = usize::from(register.0);
        let (Some(value), Some(address)) = (caller.get_mut(number), addresses.get_mut(number))
        else {
            continue;
        };
        match rule {
            RegisterRule::Undefined if *register == X86_64::RA => return None,
            RegisterRule::Offset(offset) => *address = Some(cfa.wrapping_add_signed(*offset)),
            RegisterRule::ValOffset(offset) => *value = cfa.wrapping_add_signed(*offset),
            RegisterRule::Register(Register(other)) => {
                *value = *registers.get(usize::from(*other))?;
            }
            RegisterRule::Expression(expression) => *address = evaluate(expression, Some(cfa)),
            RegisterRule::ValExpression(expression) => *value = evaluate(expression, Some(cfa))?,
            _ => (),
        }
    }
    let is_sp_given = row.register(Register(SP as u16)).is_some();
    for (value, address) in caller.iter_mut().zip(addresses) {
        if let Some(address) = address {
            *value = memory.word(address)?;
        }
    }
    if !is_sp_given {
        caller[SP] = cfa;
    }
    Some(caller)
}

/// Finds the caller of a function without a description.
fn scan(
    registers: &Registers,
    modules: &impl Modules,
    memory: &mut impl Memory,
) -> Option<Registers> {
    let first = registers[SP] & !7;
    for number in 0..MAX_WORDS {
        let address = first.wrapping_add(8 * number);
        let word = memory.word(address)?;
        let is_return = modules
            .find(word.wrapping_sub(1))
            .is_some_and(|(code, moved)| code.is_behind_call(word.wrapping_sub(moved)));
        if is_return {
            let mut caller = *registers;
            caller[SP] = address.wrapping_add(8);
            caller[IP] = word;
            return Some(caller);
        }
    }
    None
}

impl Modules for Code {
    fn find(&self, address: u64) -> Option<(&Code, u64)> {
        self.code_at(address).map(|_| (self, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Function, MAX_FRAMES, MAX_OPERATIONS, MAX_WORDS, Memory, Modules, calls};
    use proptest::prelude::{Just, any, prop_assert, prop_oneof, proptest};
    use std::ops::Range;

    const TEXT: Range<u64> = 0x1000..0x1200;

    /// A program loaded at an offset from its file's addresses.
    struct Moved(Code, u64);

    impl Modules for Moved {
        fn find(&self, address: u64) -> Option<(&Code, u64)> {
            let there = self.0.code_at(address.wrapping_sub(self.1));
            there.map(|_| (&self.0, self.1))
        }
    }

    /// Code that consists of calls only, with one function, whose description is at `at` in
    /// `frames`.
    fn code(frames: Vec<u8>, at: usize) -> Code {
        let range = TEXT;
        Code {
            frames,
            frames_at: 0x8000,
            functions: vec![Function { range, at }],
            text: vec![(TEXT.start, vec![0xe8; 0x200])],
        }
    }

    /// Appends an entry to an `.eh_frame` section that starts with its only CIE. Returns its
    /// offset.
    fn entry(section: &mut Vec<u8>, mut body: Vec<u8>) -> usize {
        let at = section.len();
        body.resize(body.len().next_multiple_of(4), 0);
        let to_cie = if at == 0 { 0 } else { at as u32 + 4 };
        section.extend((body.len() as u32 + 4).to_le_bytes());
        section.extend(to_cie.to_le_bytes());
        section.extend(body);
        at
    }

    /// Code with a function described by these instructions.
    fn described_by(instructions: &[u8]) -> Code {
        let mut section = Vec::new();
        // Version 1, no augmentation, alignments 1 and -8, the return address is register 16.
        let mut cie = vec![1, 0, 1, 0x78, 16];
        cie.extend(instructions);
        entry(&mut section, cie);
        let numbers = [TEXT.start, TEXT.end - TEXT.start];
        let at = entry(&mut section, numbers.map(u64::to_le_bytes).concat());
        code(section, at)
    }

    /// A memory that returns these words cyclically.
    struct Words(Vec<u64>, usize);

    impl Memory for Words {
        fn word(&mut self, address: u64) -> Option<u64> {
            self.1 += 1;
            let len = self.0.len() as u64;
            self.0.get((address / 8 % len) as usize).copied()
        }
    }

    /// DW_CFA_offset of the return address: 8 bytes below the CFA.
    const RETURN: [u8; 2] = [0x90, 1];

    fn cfa_by(expression: &[u8]) -> Code {
        let mut instructions = vec![0x0f, expression.len() as u8];
        instructions.extend(expression);
        instructions.extend(RETURN);
        described_by(&instructions)
    }

    #[test]
    fn an_expression_gives_the_caller() {
        // DW_OP_breg7 16.
        let mut memory = Words(vec![TEXT.start + 0x20], 0);
        let mut registers = [0; 17];
        (registers[7], registers[16]) = (0x7000, TEXT.start);
        let found = calls(registers, &cfa_by(&[0x77, 16]), &mut memory);
        assert_eq!(found[..2], [TEXT.start, TEXT.start + 0x20]);
    }

    #[test]
    fn an_expression_without_end_ends_the_calls() {
        // DW_OP_skip to itself.
        let mut memory = Words(vec![TEXT.start], 0);
        let mut registers = [0; 17];
        registers[16] = TEXT.start;
        let found = calls(registers, &cfa_by(&[0x2f, 0xfd, 0xff]), &mut memory);
        assert_eq!(found, [TEXT.start]);
    }

    fn number() -> impl proptest::strategy::Strategy<Value = u64> {
        prop_oneof![TEXT, Just(0), u64::MAX - 40..=u64::MAX, any::<u64>()]
    }

    proptest! {
        #[test]
        fn any_program_has_so_many_calls(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            is_section in any::<bool>(),
            words in proptest::collection::vec(number(), 1..20),
            moved in number(),
            stack in number(),
            instruction in TEXT,
        ) {
            let code = if is_section { code(bytes, 0) } else { described_by(&bytes) };
            code.index();
            let mut registers = [words[0]; 17];
            (registers[7], registers[16]) = (stack, instruction.wrapping_add(moved));
            let mut memory = Words(words, 0);
            let found = calls(registers, &Moved(code, moved), &mut memory);
            prop_assert!((1..=MAX_FRAMES).contains(&found.len()));
            // The CFA's expression and one for each register.
            let most = 18 * u64::from(MAX_OPERATIONS + 1) + MAX_WORDS;
            prop_assert!(memory.1 as u64 <= MAX_FRAMES as u64 * most);
        }
    }
}

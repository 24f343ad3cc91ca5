//! Unwinds a thread's stack from its registers and memory, by the unwinding tables of its program.
//!
//! ocamlopt, Rust and glibc describe each function's frame in `.eh_frame` (`.debug_eh_frame` in an
//! unstripped image); OCaml's descriptions include its stack switches. Debian's musl has none. On
//! x86-64 its frames are found as in a crash report, by the next word on the stack that points
//! after a call; on aarch64, where such a word doesn't show the end of its frame, by the
//! instructions at the function's begin ([`Prologue`]).

mod prologue;

use crate::arch::Arch;
use crate::failure::{Context as _, Failure};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EndianSlice, EvaluationResult, LittleEndian,
    Location, Register, RegisterRule, UnwindContext, UnwindExpression, UnwindSection as _, Value,
    Vendor,
};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};
use prologue::Prologue;
use std::ops::Range;
use std::path::Path;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// The maximum number of calls per sample.
const MAX_FRAMES: usize = 200;
/// The maximum number of operations per expression; compilers emit a few. Bounds endless loops.
const MAX_OPERATIONS: u32 = 1000;
/// The number of stack words to search for the caller of a function without a description.
const MAX_WORDS: u64 = 512;

/// Room for the registers of either architecture.
const COUNT: usize = 33;
/// aarch64's register with the return address of a function that calls no other.
const LINK: usize = 30;

/// The registers of a stopped thread by DWARF numbers, the instruction pointer included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    arch: Arch,
    words: [u64; COUNT],
}

impl Registers {
    /// How many words [`new`](Self::new) takes: on x86-64 the 16 registers in the order of DWARF
    /// and rip (System V ABI, figure 3.36), on aarch64 x0 to x30, sp and pc (AADWARF64, 4.1).
    pub const fn count(arch: Arch) -> usize {
        match arch {
            Arch::X86_64 => 17,
            Arch::Aarch64 => 33,
        }
    }

    /// The registers with these values; `None` unless there is one for each.
    pub fn new(arch: Arch, values: &[u64]) -> Option<Self> {
        if values.len() != Self::count(arch) {
            return None;
        }
        let mut words = [0; COUNT];
        words.get_mut(..values.len())?.copy_from_slice(values);
        Some(Self { arch, words })
    }

    /// The register with a DWARF number.
    pub fn get(&self, number: usize) -> Option<u64> {
        self.words.get(number).copied()
    }

    const fn sp_number(&self) -> usize {
        match self.arch {
            Arch::X86_64 => 7,
            Arch::Aarch64 => 31,
        }
    }

    const fn ip_number(&self) -> usize {
        match self.arch {
            Arch::X86_64 => 16,
            Arch::Aarch64 => 32,
        }
    }

    /// The stack pointer.
    pub fn sp(&self) -> u64 {
        self.words[self.sp_number()]
    }

    /// The instruction pointer.
    pub fn ip(&self) -> u64 {
        self.words[self.ip_number()]
    }

    fn set_sp(&mut self, value: u64) {
        self.words[self.sp_number()] = value;
    }

    /// Sets the instruction pointer to a return address, without the signature that a processor
    /// with pointer authentication keeps in the upper bits (of 48-bit addresses).
    fn set_ip(&mut self, value: u64) {
        const UPPER: u64 = 0xffff << 48;
        self.words[self.ip_number()] = match self.arch {
            Arch::X86_64 => value,
            Arch::Aarch64 if value >> 55 & 1 == 0 => value & !UPPER,
            Arch::Aarch64 => value | UPPER,
        };
    }
}

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
    arch: Arch,
    frames: Vec<u8>,
    frames_at: u64,
    functions: Vec<Function>,
    /// On aarch64: the starts of all functions, sorted.
    starts: Vec<u64>,
    /// The first function of the program, which nothing has called. What is beyond it on the stack
    /// is of the kernel's boot, or of the process's arguments.
    first: Range<u64>,
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
        let arch = match file.architecture() {
            object::Architecture::Aarch64 => Arch::Aarch64,
            _ => Arch::X86_64,
        };
        let mut code = Self {
            arch,
            frames: section.as_ref().map(contents).unwrap_or_default(),
            frames_at: section.map_or(0, |section| section.address()),
            functions: Vec::new(),
            starts: Vec::new(),
            first: 0..0,
            text: Vec::new(),
        };
        let text = file.sections().filter(|it| it.kind() == SectionKind::Text);
        code.text = text.map(|it| (it.address(), contents(&it))).collect();
        code.functions = code.index();
        code.first = first_function(&file);
        if arch == Arch::Aarch64 {
            let symbols = file.symbols().chain(file.dynamic_symbols());
            let functions = symbols.filter(|symbol| symbol.kind() == SymbolKind::Text);
            code.starts = functions.map(|symbol| symbol.address()).collect();
            code.starts.sort_unstable();
        }
        Ok(code)
    }

    fn section(&self) -> EhFrame<Bytes<'_>> {
        let mut section = EhFrame::new(&self.frames, LittleEndian);
        if self.arch == Arch::Aarch64 {
            // For the instruction about signed return addresses.
            section.set_vendor(Vendor::AArch64);
        }
        section
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

    /// The architecture of the code.
    pub const fn arch(&self) -> Arch {
        self.arch
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

    /// Whether an address is in [`first`](Self::first).
    fn is_first(&self, address: u64) -> bool {
        self.first.contains(&address)
    }

    /// Whether the instruction before this one is a call. On x86-64 that is E8, or FF with 2 in
    /// the middle bits of the next byte (Intel SDM, volume 2, CALL).
    fn is_behind_call(&self, address: u64) -> bool {
        if self.arch == Arch::Aarch64 {
            let call = address.checked_sub(4).and_then(|at| self.code_at(at));
            return call.is_some_and(prologue::starts_with_call);
        }
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

/// The addresses of `_start`, which has neither a size nor a kind in musl.
fn first_function(file: &object::File<'_>) -> Range<u64> {
    let start = file.symbols().find(|symbol| symbol.name() == Ok("_start"));
    let Some(start) = start.map(|symbol| symbol.address()) else {
        return 0..0;
    };
    let later = file.symbols().map(|symbol| symbol.address());
    let end = later.filter(|address| *address > start).min();
    start..end.unwrap_or(start + 1)
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
    let mut calls = vec![registers.ip()];
    while calls.len() < MAX_FRAMES {
        let probe = registers.ip().wrapping_sub(u64::from(calls.len() > 1));
        let found = modules.find(probe);
        if found.is_some_and(|(code, moved)| code.is_first(probe.wrapping_sub(moved))) {
            break;
        }
        let before = (registers.ip(), registers.sp());
        let described = found.and_then(|(code, moved)| {
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
            None => match registers.arch {
                Arch::X86_64 => scan(&registers, modules, memory),
                Arch::Aarch64 => undescribed(probe, &registers, modules, memory),
            },
        };
        match caller {
            Some(caller) if (caller.ip(), caller.sp()) != before && caller.ip() != 0 => {
                registers = caller;
                calls.push(registers.ip());
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
    let return_address = fde.cie().return_address_register();
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
                    let value = registers.get(usize::from(register.0))?;
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
    let mut addresses: [Option<u64>; COUNT] = [None; COUNT];
    for (register, rule) in row.registers() {
        let number = usize::from(register.0);
        let value = caller.words.get_mut(number);
        let (Some(value), Some(address)) = (value, addresses.get_mut(number)) else {
            continue;
        };
        match rule {
            RegisterRule::Undefined if *register == return_address => return None,
            RegisterRule::Offset(offset) => *address = Some(cfa.wrapping_add_signed(*offset)),
            RegisterRule::ValOffset(offset) => *value = cfa.wrapping_add_signed(*offset),
            RegisterRule::Register(Register(other)) => {
                *value = registers.get(usize::from(*other))?;
            }
            RegisterRule::Expression(expression) => *address = evaluate(expression, Some(cfa)),
            RegisterRule::ValExpression(expression) => *value = evaluate(expression, Some(cfa))?,
            _ => (),
        }
    }
    let is_sp_given = row
        .register(Register(registers.sp_number() as u16))
        .is_some();
    for (value, address) in caller.words.iter_mut().zip(addresses) {
        if let Some(address) = address {
            *value = memory.word(address)?;
        }
    }
    if !is_sp_given {
        caller.set_sp(cfa);
    }
    // On x86-64 that is the instruction pointer itself, on aarch64 x30.
    caller.set_ip(caller.get(usize::from(return_address.0))?);
    Some(caller)
}

/// Finds the caller of a function without a description.
fn scan(
    registers: &Registers,
    modules: &impl Modules,
    memory: &mut impl Memory,
) -> Option<Registers> {
    let first = registers.sp() & !7;
    for number in 0..MAX_WORDS {
        let address = first.wrapping_add(8 * number);
        let word = memory.word(address)?;
        let is_return = modules
            .find(word.wrapping_sub(1))
            .is_some_and(|(code, moved)| code.is_behind_call(word.wrapping_sub(moved)));
        if is_return {
            let mut caller = *registers;
            caller.set_sp(address.wrapping_add(8));
            caller.set_ip(word);
            return Some(caller);
        }
    }
    None
}

/// Finds the caller of a function of aarch64 without a description, by the instructions from its
/// start to `probe`.
fn undescribed(
    probe: u64,
    registers: &Registers,
    modules: &impl Modules,
    memory: &mut impl Memory,
) -> Option<Registers> {
    let (code, moved) = modules.find(probe)?;
    let at = probe.wrapping_sub(moved);
    let behind = code.starts.partition_point(|start| *start <= at);
    let start = *code.starts.get(behind.checked_sub(1)?)?;
    let len = usize::try_from(at - start).ok()?;
    let prologue = Prologue::of(code.code_at(start)?.get(..len)?);
    let cfa = registers.sp().wrapping_add(prologue.size);
    let mut caller = *registers;
    for (register, below) in prologue.saved {
        let value = caller.words.get_mut(register)?;
        *value = memory.word(cfa.wrapping_sub(below))?;
    }
    caller.set_sp(cfa);
    caller.set_ip(caller.get(LINK)?);
    let (code, moved) = modules.find(caller.ip().wrapping_sub(1))?;
    code.is_behind_call(caller.ip().wrapping_sub(moved))
        .then_some(caller)
}

impl Modules for Code {
    fn find(&self, address: u64) -> Option<(&Code, u64)> {
        self.code_at(address).map(|_| (self, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        COUNT, Code, Function, LINK, MAX_FRAMES, MAX_OPERATIONS, MAX_WORDS, Memory, Modules,
        Registers, calls,
    };
    use crate::arch::Arch;
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
            arch: Arch::X86_64,
            frames,
            frames_at: 0x8000,
            functions: vec![Function { range, at }],
            starts: Vec::new(),
            first: 0..0,
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
        described(16, instructions)
    }

    fn described(return_address: u8, instructions: &[u8]) -> Code {
        let mut section = Vec::new();
        // Version 1, no augmentation, alignments 1 and -8, the register of the return address.
        let mut cie = vec![1, 0, 1, 0x78, return_address];
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
        let registers = x86(0, 0x7000, TEXT.start);
        let found = calls(registers, &cfa_by(&[0x77, 16]), &mut memory);
        assert_eq!(found[..2], [TEXT.start, TEXT.start + 0x20]);
    }

    #[test]
    fn nothing_calls_the_first_function() {
        let mut code = cfa_by(&[0x77, 16]);
        code.first = TEXT.start + 0x18..TEXT.start + 0x20;
        let mut memory = Words(vec![TEXT.start + 0x40, TEXT.start + 0x20], 0);
        let found = calls(x86(0, 0x7000, TEXT.start), &code, &mut memory);
        assert_eq!(found, [TEXT.start, TEXT.start + 0x20]);
        let this = std::env::current_exe().expect("known");
        let first = Code::open(&this).expect("an ELF file").first;
        assert!(first.start > 0 && first.start < first.end);
    }

    #[test]
    fn an_expression_without_end_ends_the_calls() {
        // DW_OP_skip to itself.
        let mut memory = Words(vec![TEXT.start], 0);
        let registers = x86(0, 0, TEXT.start);
        let found = calls(registers, &cfa_by(&[0x2f, 0xfd, 0xff]), &mut memory);
        assert_eq!(found, [TEXT.start]);
    }

    /// x86-64's registers: one value, but the stack and instruction pointers.
    fn x86(other: u64, sp: u64, ip: u64) -> Registers {
        let mut words = [other; 17];
        (words[7], words[16]) = (sp, ip);
        Registers::new(Arch::X86_64, &words).expect("complete")
    }

    /// aarch64's registers: one value, but x30, the stack and instruction pointers.
    fn arm(other: u64, link: u64, sp: u64, ip: u64) -> Registers {
        let mut words = [other; COUNT];
        (words[LINK], words[31], words[32]) = (link, sp, ip);
        Registers::new(Arch::Aarch64, &words).expect("complete")
    }

    /// Code of aarch64 that consists of calls, behind these instructions of a function.
    fn arm_code(mut code: Code, function: &[u32]) -> Code {
        let call = [0x9400_0000_u32; 128];
        let words = function.iter().chain(&call);
        let text = words.flat_map(|word| word.to_le_bytes()).collect();
        code.arch = Arch::Aarch64;
        code.text = vec![(TEXT.start, text)];
        code
    }

    #[test]
    fn registers_are_complete() {
        assert_eq!(Registers::new(Arch::X86_64, &[0; 33]), None);
        assert_eq!(Registers::new(Arch::Aarch64, &[0; 17]), None);
    }

    #[test]
    fn on_aarch64_the_caller_is_in_x30_until_it_is_saved() {
        // DW_CFA_def_cfa: the stack pointer; then DW_CFA_AARCH64_negate_ra_state.
        let leaf = arm_code(described(30, &[0x0c, 31, 0, 0x2d]), &[]);
        // A signature in the upper bits.
        let link = 0x5a5a << 48 | (TEXT.start + 0x20);
        let registers = arm(0, link, 0x7000, TEXT.start);
        let found = calls(registers, &leaf, &mut Words(vec![0], 0));
        assert_eq!(found, [TEXT.start, TEXT.start + 0x20]);
        // DW_CFA_def_cfa: the stack pointer and 16; x30 is 8 below that.
        let saves = arm_code(described(30, &[0x0c, 31, 16, 0x9e, 1]), &[]);
        let mut memory = Words(vec![0, TEXT.start + 0x40], 0);
        let registers = arm(0, 0, 0x7000, TEXT.start);
        let found = calls(registers, &saves, &mut memory);
        assert_eq!(found[..2], [TEXT.start, TEXT.start + 0x40]);
    }

    #[test]
    fn on_aarch64_instructions_show_the_frame_of_a_function_without_description() {
        let mut code = code(Vec::new(), 0);
        code.functions.clear();
        // paciasp; stp x29, x30, [sp, #-32]!; mov x29, sp.
        let mut code = arm_code(code, &[0xd503_233f, 0xa9be_7bfd, 0x9100_03fd]);
        code.starts = vec![TEXT.start, TEXT.start + 0x100];
        let other = TEXT.start + 0x104;
        // The words at 0x7000: x29, x30.
        let mut memory = Words(vec![0x7100, other, 0, 0], 0);
        let inside = arm(0, 0, 0x7000, TEXT.start + 0xc);
        let found = calls(inside, &code, &mut memory);
        assert_eq!(found[..2], [TEXT.start + 0xc, other]);
        // Before the frame x30 has it.
        let begin = arm(0, other, 0x7000, TEXT.start);
        assert_eq!(calls(begin, &code, &mut memory)[..2], [TEXT.start, other]);
        // No call is before this address.
        let wrong = arm(0, other + 2, 0x7000, TEXT.start);
        assert_eq!(calls(wrong, &code, &mut memory), [TEXT.start]);
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
            let registers = x86(words[0], stack, instruction.wrapping_add(moved));
            let mut memory = Words(words, 0);
            let found = calls(registers, &Moved(code, moved), &mut memory);
            prop_assert!((1..=MAX_FRAMES).contains(&found.len()));
            // The CFA's expression and one for each register.
            let most = (COUNT as u64 + 1) * u64::from(MAX_OPERATIONS + 1) + MAX_WORDS;
            prop_assert!(memory.1 as u64 <= MAX_FRAMES as u64 * most);
        }

        #[test]
        fn any_program_for_aarch64_has_so_many_calls(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            function in proptest::collection::vec(any::<u32>(), 0..20),
            is_described in any::<bool>(),
            words in proptest::collection::vec(number(), 1..20),
            moved in number(),
            stack in number(),
            instruction in TEXT,
        ) {
            let mut code = arm_code(described(30, &bytes), &function);
            code.starts = vec![0, TEXT.start, TEXT.start + 7];
            if !is_described {
                code.functions.clear();
            }
            let registers = arm(words[0], words[0], stack, instruction.wrapping_add(moved));
            let mut memory = Words(words, 0);
            let found = calls(registers, &Moved(code, moved), &mut memory);
            prop_assert!((1..=MAX_FRAMES).contains(&found.len()));
        }
    }
}

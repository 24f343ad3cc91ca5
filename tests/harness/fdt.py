"""Changes flattened device trees, by the library libfdt that QEMU for arm64 brings along."""

import ctypes

ROOM = 1 << 20
NOT_FOUND = -1


class Tree:
    """A device tree, from the bytes of one. Raises OSError without the library."""

    def __init__(self, data):
        self.library = ctypes.CDLL("libfdt.so.1")
        self.buffer = ctypes.create_string_buffer(ROOM)
        self._call("open_into", data, self.buffer, ROOM)

    def _call(self, name, *arguments):
        done = self._try(name, *arguments)
        assert done >= 0, f"fdt_{name}{arguments[1:]}: {done}"
        return done

    def _try(self, name, *arguments):
        return getattr(self.library, f"fdt_{name}")(*arguments)

    def node(self, path):
        """The offset of a node."""
        return self._call("path_offset", self.buffer, path.encode())

    def names(self, path="/"):
        """The names of a node's children."""
        get_name = self.library.fdt_get_name
        get_name.restype = ctypes.c_char_p
        found, at = [], self._try("first_subnode", self.buffer, self.node(path))
        while at >= 0:
            found.append(get_name(self.buffer, at, None).decode())
            at = self._try("next_subnode", self.buffer, at)
        assert at == NOT_FOUND, at
        return found

    def add(self, name, **properties):
        """A node below the root; `_` in the names of properties stands for `-`, numbers are words
        of 32 bits."""
        self._call("add_subnode", self.buffer, self.node("/"), name.encode())
        for each, value in properties.items():
            self.set(f"/{name}", each.replace("_", "-"), value)

    def set(self, path, name, value):
        """Sets a property to a string, to bytes or to a list of words."""
        if isinstance(value, str):
            value = value.encode() + b"\0"
        elif not isinstance(value, bytes):
            value = b"".join(word.to_bytes(4, "big") for word in value)
        self._call("setprop", self.buffer, self.node(path), name.encode(), value, len(value))

    def get(self, path, name):
        """The bytes of a property."""
        length, getprop = ctypes.c_int(), self.library.fdt_getprop
        getprop.restype = ctypes.c_void_p
        found = getprop(self.buffer, self.node(path), name.encode(), ctypes.byref(length))
        assert found, f"{path}/{name}: {length.value}"
        return ctypes.string_at(found, length.value)

    def drop(self, path, name=None):
        """Deletes a node, or a property of it."""
        if name is None:
            self._call("del_node", self.buffer, self.node(path))
        else:
            self._call("delprop", self.buffer, self.node(path), name.encode())

    def bytes(self):
        """The tree."""
        self._call("pack", self.buffer)
        return self.buffer.raw[: int.from_bytes(self.buffer.raw[4:8], "big")]

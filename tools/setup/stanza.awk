# One deb822 stanza for each record (RS=""): prints the URIs and Signed-By of those that serve one of the suites in `names`.
function field(name,    line, found, text) {
  found = 0
  text = ""
  for (line = 1; line <= lines; line++) {
    if (tolower(content[line]) ~ "^" tolower(name) "[ \t]*:") {
      found = 1
      text = content[line]
    } else if (found && content[line] ~ /^[ \t]/) text = text "\n" content[line]
    else found = 0
  }
  return text
}
{
  lines = 0
  total = split($0, raw, "\n")
  for (i = 1; i <= total; i++) if (raw[i] !~ /^[ \t]*#/) content[++lines] = raw[i]
  suites = field("Suites") " "
  sub(/^[^:]*:/, " ", suites)
  if (tolower(field("Enabled")) ~ /:[ \t]*no/) next
  if (field("Types") " " !~ /[: \t]deb[ \t]/) next
  wanted = 0
  count = split(names, name, " ")
  for (i = 1; i <= count; i++) if (suites ~ "[ \t\n]" name[i] "[ \t\n]") wanted = 1
  if (!wanted) next
  print field("URIs")
  signed = field("Signed-By")
  if (signed != "") print signed
  print ""
}

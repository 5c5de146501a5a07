// Parses PowerShell files; prints one JSON object a line: the file, whether it parses,
// and, when it does, its nodes in source order, each with the index of its parent.
import { readFileSync } from 'node:fs';
import { Language, Parser } from 'web-tree-sitter';

await Parser.init();
const grammar = new URL('node_modules/tree-sitter-powershell/tree-sitter-powershell.wasm', import.meta.url);
const parser = new Parser();
parser.setLanguage(await Language.load(readFileSync(grammar)));

for (const file of process.argv.slice(2)) {
  const tree = parser.parse(readFileSync(file, 'utf8'));
  const nodes = [];
  const add = (node, parent) => {
    const index = nodes.push({ kind: node.type, text: node.text, line: node.startPosition.row + 1, parent }) - 1;
    for (const child of node.namedChildren) add(child, index);
  };
  const parses = !tree.rootNode.hasError;
  if (parses) add(tree.rootNode, -1);
  console.log(JSON.stringify({ file, parses, nodes }));
  tree.delete();
}

import type { Element } from '../wire/nft/set.ts'

/** Another attachment has this element: `owner` is its name, as far as a comment holds it. */
export class ElementTaken extends Error {
  override name = 'ElementTaken'
  readonly element: Element
  readonly owner: string

  constructor(element: Element, owner = 'somebody who left no name') {
    super(`Cannot add an element of ${element.set}: ${owner} has it`)
    this.element = element
    this.owner = owner
  }
}
